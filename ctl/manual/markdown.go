package manual

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
)

// Markdown returns the whole manual as one document.
func Markdown(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# s3ctl\n\n<!-- Generated from the commands; do not edit. To regenerate: scripts/generate docs -->\n\n")
	for _, g := range groups(root) { // the contents
		fmt.Fprintf(&b, "**%s**:", g.title)
		for _, cmd := range g.commands {
			for _, one := range Pages(cmd) {
				if !one.HasSubCommands() {
					fmt.Fprintf(&b, "\n[%s](#%s)", strings.TrimPrefix(one.CommandPath(), root.CommandPath()+" "), dashed(one))
				}
			}
		}
		b.WriteString("\n\n")
	}
	for _, cmd := range Pages(root) {
		if cmd != root {
			fmt.Fprintf(&b, "## %s\n\n", cmd.CommandPath())
		}
		markdown(&b, cmd)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func markdown(b *strings.Builder, cmd *cobra.Command) {
	if !cmd.IsAdditionalHelpTopicCommand() {
		fmt.Fprintf(b, "```\n%s\n```\n\n", cmd.UseLine())
	}
	for _, block := range blocks(cmd) {
		switch {
		case !block.plain:
			b.WriteString(escape(block.lines[0]) + "\n\n")
		case strings.HasPrefix(block.lines[0], "|"): // tables have the same syntax
			b.WriteString(strings.Join(block.lines, "\n") + "\n\n")
		default:
			b.WriteString("```\n" + strings.Join(undent(block.lines...), "\n") + "\n```\n\n")
		}
	}
	if cmd.HasExample() {
		fmt.Fprintf(b, "Examples:\n\n```\n%s\n```\n\n", strings.Join(examples(cmd), "\n"))
	}
	markdownFlags(b, "Flags", flags(cmd.LocalNonPersistentFlags()))
	markdownFlags(b, "Flags of all commands", flags(cmd.PersistentFlags()))
	if codes := cmd.Annotations[cli.ExitCodes]; codes != "" {
		fmt.Fprintf(b, "Exit codes: %s.\n\n", escape(codes))
	}
}

func markdownFlags(b *strings.Builder, title string, flags []flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "| %s | |\n| --- | --- |\n", title)
	for _, f := range flags {
		fmt.Fprintf(b, "| `%s` | %s |\n", f.synopsis, strings.ReplaceAll(escape(f.text), "|", `\|`))
	}
	b.WriteString("\n")
}

// special matches the characters that Markdown would interpret. Underscores within words are not among them.
var special = regexp.MustCompile("`[^`]*`|[*<\\[\\]\\\\]|(^|[^0-9A-Za-z_])_|_($|[^0-9A-Za-z_])")

// escape escapes plain text for Markdown; `code` stays code.
func escape(text string) string {
	return special.ReplaceAllStringFunc(text, func(s string) string {
		switch {
		case s[0] == '`':
			return s
		case strings.Contains(s, "_"):
			return strings.ReplaceAll(s, "_", `\_`)
		}
		return `\` + s
	})
}
