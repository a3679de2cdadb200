// Package manual converts the command tree to a manual, as docs/s3ctl.md and as man pages. The help texts of the commands
// are the only source. They are plain text, not Markdown: an asterisk in them is a wildcard.
package manual

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/ctl/cli"
)

// Page is the documentation of a command or a help topic.
type Page struct {
	Path      string // "s3ctl bucket create"
	Short     string
	Use       string // synopsis; "" for a topic
	Text      []Block
	Examples  []string // lines
	Flags     []Flag   // of the command itself
	Global    []Flag   // of all commands below; set for the root only
	ExitCodes string   // one line; "" for a command that only has verbs below it
	Below     []Group
	Parent    *Page // nil for the root
}

// Block is a paragraph, or preformatted lines.
type Block struct {
	Plain bool
	Lines []string // a paragraph has one
}

// Flag is a flag.
type Flag struct {
	Name    string // "-r, --recursive"
	Value   string // the type of its value, such as "int" or "PATTERN"; "" if it has none
	Usage   string
	Default string // "" if it is the zero value
}

func (f Flag) synopsis() string { return strings.TrimSpace(f.Name + " " + f.Value) }

// text is the usage and the default.
func (f Flag) text() string {
	if f.Default == "" {
		return f.Usage
	}
	return f.Usage + " (default " + f.Default + ")"
}

// Group is a titled list of commands below another.
type Group struct {
	Title string
	Pages []*Page
}

// Topic reports whether the page is a help topic and not a command.
func (p *Page) Topic() bool { return p.Use == "" }

// File returns the path of the page in a folder of man pages: commands are in section 1, topics in section 7.
func (p *Page) File() string { return "man" + p.section() + "/" + p.dashed() + "." + p.section() }

func (p *Page) dashed() string { return strings.ReplaceAll(p.Path, " ", "-") }

func (p *Page) section() string {
	if p.Topic() {
		return "7"
	}
	return "1"
}

// All returns the page and all pages below it, in the order of the help.
func (p *Page) All() []*Page {
	pages := []*Page{p}
	for _, g := range p.Below {
		for _, below := range g.Pages {
			pages = append(pages, below.All()...)
		}
	}
	return pages
}

// Read returns the page of a command and of all commands below it that are not hidden.
func Read(cmd *cobra.Command) *Page {
	p := &Page{Path: cmd.CommandPath(), Short: cmd.Short, ExitCodes: cmd.Annotations[cli.ExitCodes]}
	p.Text = blocks(cmd.Long)
	if len(p.Text) == 0 {
		p.Text = blocks(cmd.Short + ".")
	}
	if !cmd.IsAdditionalHelpTopicCommand() {
		p.Use = cmd.UseLine()
	}
	if cmd.HasExample() {
		p.Examples = undent(cmd.Example)
	}
	p.Flags = flags(cmd.LocalNonPersistentFlags())
	p.Global = flags(cmd.PersistentFlags())
	p.Below = groups(cmd)
	for _, g := range p.Below {
		for _, below := range g.Pages {
			below.Parent = p
		}
	}
	return p
}

// groups groups the commands below by the titles of the help.
func groups(cmd *cobra.Command) []Group {
	all := make([]Group, 0, len(cmd.Groups())+2)
	byID := map[string]int{}
	for _, g := range cmd.Groups() {
		byID[g.ID] = len(all)
		all = append(all, Group{Title: strings.TrimSuffix(g.Title, ":")})
	}
	other, topics := len(all), len(all)+1
	all = append(all, Group{Title: "Commands"}, Group{Title: "Topics"})
	for _, below := range cmd.Commands() {
		at, grouped := byID[below.GroupID]
		switch {
		case below.IsAdditionalHelpTopicCommand():
			at = topics
		case !below.IsAvailableCommand(), below.Name() == "help":
			continue
		case !grouped:
			at = other
		}
		all[at].Pages = append(all[at].Pages, Read(below))
	}
	var used []Group
	for _, g := range all {
		if len(g.Pages) > 0 {
			used = append(used, g)
		}
	}
	return used
}

func flags(set *pflag.FlagSet) (list []Flag) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		one := Flag{Name: "--" + f.Name}
		if f.Shorthand != "" {
			one.Name = "-" + f.Shorthand + ", " + one.Name
		}
		one.Value, one.Usage = pflag.UnquoteUsage(f)
		if one.Value != "" && f.DefValue != "" && f.DefValue != "0" {
			one.Default = f.DefValue
		}
		list = append(list, one)
	})
	return list
}

// blocks splits a text at blank lines. Indented lines and tables are preformatted.
func blocks(text string) (list []Block) {
	for part := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		lines := strings.Split(strings.Trim(part, "\n"), "\n")
		if lines[0] == "" {
			continue
		}
		b := Block{Plain: strings.HasPrefix(lines[0], "  ") || strings.HasPrefix(lines[0], "|"), Lines: lines}
		if !b.Plain {
			b.Lines = []string{strings.Join(lines, " ")}
		}
		list = append(list, b)
	}
	return list
}

// undent removes the indentation that examples have in the help.
func undent(text string) []string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return lines
}
