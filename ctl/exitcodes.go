package ctl

import (
	"fmt"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
)

// ExitCodeTable writes the table of exit codes as it stands in docs/exit-codes.md
// and in `s3ctl help exit-codes`: readable as it is, and Markdown.
func ExitCodeTable() string {
	var b strings.Builder
	line := func(exit, names, meaning string) { fmt.Fprintf(&b, "| %4s | %-34s | %-75s |\n", exit, names, meaning) }
	line("exit", "code", "meaning")
	line("---:", "---", "---")
	for _, row := range fault.Table() {
		line(fmt.Sprint(int(row.Exit)), strings.Join(row.Kinds, ", "), row.Meaning)
	}
	return b.String()
}
