package ctl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
)

// ExitCodeTable writes the table of exit codes as it stands in docs/exit-codes.md
// and in `s3ctl help exit-codes`: readable as it is, and Markdown.
func ExitCodeTable() string {
	var b strings.Builder
	line := func(exit, names, meaning string) { fmt.Fprintf(&b, "| %4s | %-49s | %-75s |\n", exit, names, meaning) }
	line("exit", "code", "meaning")
	line("---:", "---", "---")
	for _, row := range fault.Table() {
		line(fmt.Sprint(int(row.Exit)), strings.Join(row.Kinds, ", "), row.Meaning)
	}
	return b.String()
}

// Codes that several commands share. Every command can end with ok, usage and internal.
var (
	asking  = []fault.Exit{fault.NotFound, fault.Denied, fault.Invalid, fault.Unavailable, fault.Interrupted}
	several = append(slices.Clone(asking), fault.Partial)
	reading = append(slices.Clone(several), fault.Corrupt)
	moving  = append(slices.Clone(reading), fault.Conflict, fault.NoSpace)
	setting = []fault.Exit{fault.NotFound, fault.Denied, fault.Invalid, fault.NoSpace}
	writing = []fault.Exit{fault.NotFound, fault.Denied, fault.Conflict, fault.NoSpace}
)

// endings are the codes that each command can end with beside those that every one can.
var endings = map[string][]fault.Exit{
	"s3ctl put": moving, "s3ctl get": moving, "s3ctl cp": moving, "s3ctl mv": moving, "s3ctl sync": moving,
	"s3ctl cat": append(slices.Clone(reading), fault.NoSpace), "s3ctl verify": reading, "s3ctl diff": append(slices.Clone(reading), fault.Different),
	"s3ctl ls": asking, "s3ctl stat": several, "s3ctl rm": several, "s3ctl du": several, "s3ctl find": several, "s3ctl tree": several,
	"s3ctl bucket create": append(slices.Clone(several), fault.Conflict), "s3ctl bucket ls": asking, "s3ctl bucket rm": append(slices.Clone(several), fault.Conflict),
	"s3ctl session ls": asking, "s3ctl session abort": several,
	"s3ctl profile add": append(slices.Clone(setting), fault.Unavailable, fault.Interrupted),
	"s3ctl profile ls":  setting, "s3ctl profile rm": setting, "s3ctl profile show": setting, "s3ctl profile use": setting,
	"s3ctl man": writing, "s3ctl completion": nil, "s3ctl version": nil,
}

// endingsOf gives the codes that a command can end with, in order; all of them where it is not in the list.
func endingsOf(cmd *cobra.Command) []fault.Exit {
	own, known := endings[cmd.CommandPath()]
	var codes []fault.Exit
	for _, row := range fault.Table() {
		if !known || row.Exit <= fault.Usage || slices.Contains(own, row.Exit) {
			codes = append(codes, row.Exit)
		}
	}
	return codes
}

// markExitCodes has the help of every command list its codes in one line.
func markExitCodes(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		markExitCodes(below)
	}
	if !cmd.Runnable() || cmd.HasSubCommands() {
		return
	}
	codes := endingsOf(cmd)
	names := make([]string, len(codes))
	for i, code := range codes {
		names[i] = fmt.Sprintf("%d %s", code, strings.ReplaceAll(fault.NameOf(code), "_", " "))
	}
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[cli.ExitCodes] = strings.Join(names, ", ")
}
