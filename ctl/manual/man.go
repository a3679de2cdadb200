package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
)

// Man returns the page of a command in the format of man(1), with references to its parent and the pages below it.
func Man(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s %s \"\" \"Ringstore\" \"Ringstore\"\n", quote(strings.ToUpper(dashed(cmd))), section(cmd))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(dashed(cmd)), roff(cmd.Short))
	if !cmd.IsAdditionalHelpTopicCommand() {
		fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", quote(cmd.UseLine()))
	}
	b.WriteString(".SH DESCRIPTION\n")
	for _, block := range blocks(cmd) {
		if block.plain {
			verbatim(&b, block.lines)
		} else {
			fmt.Fprintf(&b, ".PP\n%s\n", roff(block.lines[0]))
		}
	}
	var others []*cobra.Command
	if cmd.HasParent() {
		others = append(others, cmd.Parent())
	}
	for _, g := range groups(cmd) {
		fmt.Fprintf(&b, ".SH %s\n", quote(strings.ToUpper(g.title)))
		for _, below := range g.commands {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", quote(below.CommandPath()), roff(below.Short))
		}
		others = append(others, g.commands...)
	}
	manFlags(&b, "OPTIONS", flags(cmd.LocalNonPersistentFlags()))
	manFlags(&b, "OPTIONS OF ALL COMMANDS", flags(cmd.PersistentFlags()))
	if cmd.HasExample() {
		b.WriteString(".SH EXAMPLES\n")
		verbatim(&b, examples(cmd))
	}
	if codes := cmd.Annotations[cli.ExitCodes]; codes != "" {
		fmt.Fprintf(&b, ".SH EXIT STATUS\n%s.\n", roff(codes))
	}
	if len(others) > 0 {
		b.WriteString(".SH SEE ALSO\n")
	}
	for i, other := range others {
		fmt.Fprintf(&b, ".BR %s (%s)%s\n", roff(dashed(other)), section(other), strings.Repeat(",", min(len(others)-1-i, 1)))
	}
	return b.String()
}

func verbatim(b *strings.Builder, lines []string) {
	b.WriteString(".PP\n.nf\n")
	for _, line := range lines {
		b.WriteString(roff(line) + "\n")
	}
	b.WriteString(".fi\n")
}

func manFlags(b *strings.Builder, title string, flags []flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", quote(title))
	for _, f := range flags {
		fmt.Fprintf(b, ".TP\n%s\n%s\n", roff(f.synopsis), roff(f.text))
	}
}

// signs escapes the characters that troff interprets.
var signs = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// roff escapes a line of plain text for troff.
func roff(line string) string {
	line = signs.Replace(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}

// quote returns text as one argument of a macro.
func quote(text string) string { return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"` }
