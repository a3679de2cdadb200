package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// Markdown returns the whole manual as one document.
func Markdown(root *Page) string {
	var b strings.Builder
	b.WriteString("# s3ctl\n\n<!-- Generated from the commands; do not edit. To regenerate: scripts/generate docs -->\n\n")
	contents(&b, root)
	for _, p := range root.All() {
		if p != root {
			fmt.Fprintf(&b, "## %s\n\n", p.Path)
		}
		p.markdown(&b)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// contents writes the list of all pages, as links.
func contents(b *strings.Builder, root *Page) {
	for _, g := range root.Below {
		fmt.Fprintf(b, "**%s**:", g.Title)
		for _, p := range g.Pages {
			for _, one := range p.All() {
				if len(one.Below) == 0 {
					fmt.Fprintf(b, "\n[%s](#%s)", strings.TrimPrefix(one.Path, root.Path+" "), one.dashed())
				}
			}
		}
		b.WriteString("\n\n")
	}
}

func (p *Page) markdown(b *strings.Builder) {
	if !p.Topic() {
		fmt.Fprintf(b, "```\n%s\n```\n\n", p.Use)
	}
	for _, block := range p.Text {
		block.markdown(b)
	}
	if len(p.Examples) > 0 {
		fmt.Fprintf(b, "Examples:\n\n```\n%s\n```\n\n", strings.Join(p.Examples, "\n"))
	}
	markdownFlags(b, "Flags", p.Flags)
	markdownFlags(b, "Flags of all commands", p.Global)
	if p.ExitCodes != "" {
		fmt.Fprintf(b, "Exit codes: %s.\n\n", escape(p.ExitCodes))
	}
}

func (block Block) markdown(b *strings.Builder) {
	switch {
	case !block.Plain:
		b.WriteString(escape(block.Lines[0]) + "\n\n")
	case strings.HasPrefix(block.Lines[0], "|"): // tables have the same syntax
		b.WriteString(strings.Join(block.Lines, "\n") + "\n\n")
	default:
		b.WriteString("```\n" + strings.Join(undent(strings.Join(block.Lines, "\n")), "\n") + "\n```\n\n")
	}
}

func markdownFlags(b *strings.Builder, title string, flags []Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "| %s | |\n| --- | --- |\n", title)
	for _, f := range flags {
		fmt.Fprintf(b, "| `%s` | %s |\n", f.synopsis(), strings.ReplaceAll(escape(f.text()), "|", `\|`))
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
