package manual

import (
	"fmt"
	"strings"
)

// Man returns the page in the format of man(1), with references to its parent and the pages below it.
func (p *Page) Man() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s %s \"\" \"Ringstore\" \"Ringstore\"\n", quote(strings.ToUpper(p.dashed())), p.section())
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(p.dashed()), roff(p.Short))
	if !p.Topic() {
		fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", quote(p.Use))
	}
	b.WriteString(".SH DESCRIPTION\n")
	for _, block := range p.Text {
		block.man(&b)
	}
	for _, g := range p.Below {
		fmt.Fprintf(&b, ".SH %s\n", quote(strings.ToUpper(g.Title)))
		for _, below := range g.Pages {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", quote(below.Path), roff(below.Short))
		}
	}
	manFlags(&b, "OPTIONS", p.Flags)
	manFlags(&b, "OPTIONS OF ALL COMMANDS", p.Global)
	if len(p.Examples) > 0 {
		b.WriteString(".SH EXAMPLES\n")
		verbatim(&b, p.Examples)
	}
	if p.ExitCodes != "" {
		fmt.Fprintf(&b, ".SH EXIT STATUS\n%s.\n", roff(p.ExitCodes))
	}
	p.seeAlso(&b)
	return b.String()
}

func (p *Page) seeAlso(b *strings.Builder) {
	var others []*Page
	if p.Parent != nil {
		others = append(others, p.Parent)
	}
	for _, g := range p.Below {
		others = append(others, g.Pages...)
	}
	if len(others) == 0 {
		return
	}
	b.WriteString(".SH SEE ALSO\n")
	for i, other := range others {
		end := ","
		if i == len(others)-1 {
			end = ""
		}
		fmt.Fprintf(b, ".BR %s (%s)%s\n", roff(other.dashed()), other.section(), end)
	}
}

func (block Block) man(b *strings.Builder) {
	if block.Plain {
		verbatim(b, block.Lines)
		return
	}
	fmt.Fprintf(b, ".PP\n%s\n", roff(block.Lines[0]))
}

func verbatim(b *strings.Builder, lines []string) {
	b.WriteString(".PP\n.nf\n")
	for _, line := range lines {
		b.WriteString(roff(line) + "\n")
	}
	b.WriteString(".fi\n")
}

func manFlags(b *strings.Builder, title string, flags []Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", quote(title))
	for _, f := range flags {
		fmt.Fprintf(b, ".TP\n%s\n%s\n", roff(f.synopsis()), roff(f.text()))
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
