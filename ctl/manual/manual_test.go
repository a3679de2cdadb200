package manual_test

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/manual"
)

// tool is a small command tree whose texts contain many characters that are special in Markdown or troff.
func tool() *cobra.Command {
	root := &cobra.Command{Use: "tool COMMAND", Short: "A tool", Run: func(*cobra.Command, []string) {}}
	root.PersistentFlags().BoolP("quiet", "q", false, "say nothing")
	cut := &cobra.Command{
		Use: "cut FILE...", Short: "Cut files", Run: func(*cobra.Command, []string) {}, Annotations: map[string]string{cli.ExitCodes: "0 ok, 2 usage"},
		Long: `Cut *.jpg and **.tmp, but not [a-z] or <x>, in _all_
folders_of_it; ` + "`code *` and 'quotes' and \\ too" + `.

  .indented  *one*
  'two'

| a | b |
| --- | --- |
| x | *y* |

.Begins with a dot.`,
		Example: "  tool cut *.jpg\n    further in",
	}
	cut.Flags().IntP("depth", "d", 3, "cut so `DEEP` | deeper")
	cut.Flags().Bool("hidden", false, "")
	_ = cut.Flags().MarkHidden("hidden")
	root.AddGroup(&cobra.Group{ID: "g", Title: "Group:"})
	cut.GroupID = "g"
	gone := &cobra.Command{Use: "gone", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(cut, gone, &cobra.Command{Use: "topic", Short: "A topic", Long: "What a topic says."})
	return root
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	require.Equal(t, `# s3ctl

<!-- Generated from the commands; do not edit. To regenerate: scripts/generate docs -->

**Group**:
[cut](#tool-cut)

**Topics**:
[topic](#tool-topic)

`+"```\ntool COMMAND\n```"+`

A tool.

| Flags of all commands | |
| --- | --- |
| `+"`-q, --quiet`"+` | say nothing |

## tool cut

`+"```\ntool cut FILE... [flags]\n```"+`

Cut \*.jpg and \*\*.tmp, but not \[a-z\] or \<x>, in \_all\_ folders_of_it; `+"`code *` and 'quotes' and \\\\ too"+`.

`+"```\n.indented  *one*\n'two'\n```"+`

| a | b |
| --- | --- |
| x | *y* |

.Begins with a dot.

Examples:

`+"```\ntool cut *.jpg\n  further in\n```"+`

| Flags | |
| --- | --- |
| `+"`-d, --depth DEEP`"+` | cut so DEEP \| deeper (default 3) |

Exit codes: 0 ok, 2 usage.

## tool topic

What a topic says.
`, manual.Markdown(tool()))
}

func TestMan(t *testing.T) {
	t.Parallel()
	root := tool()
	pages := manual.Pages(root)
	require.Len(t, pages, 3, "what is hidden has no page")
	cut, topic := pages[1], pages[2]
	require.Equal(t, []string{"man1/tool.1", "man1/tool-cut.1", "man7/tool-topic.7"}, []string{manual.File(root), manual.File(cut), manual.File(topic)})
	require.Equal(t, `.TH "TOOL\-CUT" 1 "" "Ringstore" "Ringstore"
.SH NAME
tool\-cut \- Cut files
.SH SYNOPSIS
.B "tool cut FILE... [flags]"
.SH DESCRIPTION
.PP
Cut *.jpg and **.tmp, but not [a\-z] or <x>, in _all_ folders_of_it; \(gacode *\(ga and \(aqquotes\(aq and \e too.
.PP
.nf
  .indented  *one*
  \(aqtwo\(aq
.fi
.PP
.nf
| a | b |
| \-\-\- | \-\-\- |
| x | *y* |
.fi
.PP
\&.Begins with a dot.
.SH "OPTIONS"
.TP
\-d, \-\-depth DEEP
cut so DEEP | deeper (default 3)
.SH EXAMPLES
.PP
.nf
tool cut *.jpg
  further in
.fi
.SH EXIT STATUS
0 ok, 2 usage.
.SH SEE ALSO
.BR tool (1)
`, manual.Man(cut))
	require.Contains(t, manual.Man(root), ".SH \"GROUP\"\n.TP\n.B \"tool cut\"\nCut files\n")
	require.Contains(t, manual.Man(root), ".SH SEE ALSO\n.BR tool\\-cut (1),\n.BR tool\\-topic (7)\n")
	require.NotContains(t, manual.Man(topic), "SYNOPSIS")
}
