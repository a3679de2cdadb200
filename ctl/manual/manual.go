// Package manual converts the command tree to a manual, as docs/s3ctl.md and as man pages. The help texts of the commands
// are the only source. They are plain text, not Markdown: an asterisk in them is a wildcard.
package manual

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Pages returns the commands and topics that have a page: the command and all below it that are not hidden, in the order of the
// help.
func Pages(cmd *cobra.Command) []*cobra.Command {
	pages := []*cobra.Command{cmd}
	for _, g := range groups(cmd) {
		for _, below := range g.commands {
			pages = append(pages, Pages(below)...)
		}
	}
	return pages
}

// File returns the path of a page in a folder of man pages: commands are in section 1, topics in section 7.
func File(cmd *cobra.Command) string {
	return "man" + section(cmd) + "/" + dashed(cmd) + "." + section(cmd)
}

func section(cmd *cobra.Command) string {
	if cmd.IsAdditionalHelpTopicCommand() {
		return "7"
	}
	return "1"
}

func dashed(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// group is a titled list of commands below another.
type group struct {
	id, title string
	commands  []*cobra.Command
}

// groups groups the commands below by the titles of the help.
func groups(cmd *cobra.Command) []group {
	all := make([]group, 0, len(cmd.Groups())+2)
	for _, g := range cmd.Groups() {
		all = append(all, group{id: g.ID, title: strings.TrimSuffix(g.Title, ":")})
	}
	all = append(all, group{title: "Commands"}, group{id: "topic", title: "Topics"})
	for _, below := range cmd.Commands() {
		id := below.GroupID
		switch {
		case below.IsAdditionalHelpTopicCommand():
			id = "topic"
		case !below.IsAvailableCommand(), below.Name() == "help":
			continue
		}
		at := slices.IndexFunc(all, func(g group) bool { return g.id == id })
		all[at].commands = append(all[at].commands, below)
	}
	return slices.DeleteFunc(all, func(g group) bool { return len(g.commands) == 0 })
}

// flag is a flag as it is written, and what it does.
type flag struct{ synopsis, text string }

func flags(set *pflag.FlagSet) (list []flag) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		if value != "" && f.DefValue != "" && f.DefValue != "0" {
			text += " (default " + f.DefValue + ")"
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		list = append(list, flag{strings.TrimSpace(name + " " + value), text})
	})
	return list
}

// block is a paragraph of one line, or preformatted lines.
type block struct {
	plain bool
	lines []string
}

// blocks splits the text of a page at blank lines. Indented lines and tables are preformatted.
func blocks(cmd *cobra.Command) (list []block) {
	for part := range strings.SplitSeq(strings.Trim(cmp.Or(cmd.Long, cmd.Short+"."), "\n"), "\n\n") {
		lines := strings.Split(strings.Trim(part, "\n"), "\n")
		plain := strings.HasPrefix(lines[0], "  ") || strings.HasPrefix(lines[0], "|")
		if !plain {
			lines = []string{strings.Join(lines, " ")}
		}
		list = append(list, block{plain, lines})
	}
	return list
}

// undent removes the indentation that examples have in the help.
func undent(lines ...string) []string {
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return lines
}

// examples returns the lines of the examples.
func examples(cmd *cobra.Command) []string {
	return undent(strings.Split(strings.Trim(cmd.Example, "\n"), "\n")...)
}
