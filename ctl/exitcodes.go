package ctl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
)

// ExitCodeTable returns the table of exit codes of docs/exit-codes.md and `s3ctl help exit-codes`, as Markdown that is
// also readable as plain text.
func ExitCodeTable() string {
	var b strings.Builder
	line := func(exit, names, meaning string) { fmt.Fprintf(&b, "| %4s | %-49s | %-75s |\n", exit, names, meaning) }
	line("exit", "code", "meaning")
	line("---:", "---", "---")
	for _, row := range fault.Table() {
		names := make([]string, len(row.Kinds))
		for i, kind := range row.Kinds {
			names[i] = kind.String()
		}
		line(fmt.Sprint(int(row.Exit)), strings.Join(names, ", "), row.Meaning)
	}
	return b.String()
}

// Exit codes shared by several commands. Every command can also end with ok, usage and internal.
var (
	asking  = []fault.Exit{fault.NotFound, fault.Denied, fault.Invalid, fault.Unavailable, fault.Interrupted}
	several = append(slices.Clone(asking), fault.Partial)
	reading = append(slices.Clone(several), fault.Corrupt)
	moving  = append(slices.Clone(reading), fault.Conflict, fault.NoSpace)
	setting = []fault.Exit{fault.NotFound, fault.Denied, fault.Invalid, fault.NoSpace}
	writing = []fault.Exit{fault.NotFound, fault.Denied, fault.Conflict, fault.NoSpace}
)

// endings are the exit codes of each command, besides those of every command.
var endings = map[string][]fault.Exit{
	"s3ctl put": moving, "s3ctl get": moving, "s3ctl cp": moving, "s3ctl mv": moving, "s3ctl sync": moving,
	"s3ctl head": append(slices.Clone(reading), fault.NoSpace), "s3ctl tail": append(slices.Clone(reading), fault.NoSpace),
	"s3ctl mb": append(slices.Clone(several), fault.Conflict), "s3ctl rb": append(slices.Clone(several), fault.Conflict),
	"s3ctl cat": append(slices.Clone(reading), fault.NoSpace), "s3ctl verify": reading, "s3ctl diff": append(slices.Clone(reading), fault.Different),
	"s3ctl ls": asking, "s3ctl stat": several, "s3ctl rm": several, "s3ctl du": several, "s3ctl find": several, "s3ctl tree": several,
	"s3ctl bucket create": append(slices.Clone(several), fault.Conflict), "s3ctl bucket ls": asking, "s3ctl bucket rm": append(slices.Clone(several), fault.Conflict),
	"s3ctl session ls": asking, "s3ctl session abort": several,
	"s3ctl profile add": append(slices.Clone(setting), fault.Unavailable, fault.Interrupted),
	"s3ctl profile ls":  setting, "s3ctl profile rm": setting, "s3ctl profile show": setting, "s3ctl profile use": setting,
	"s3ctl man": writing, "s3ctl completion": nil, "s3ctl version": nil,
}

// endingsOf returns the exit codes of a command in order; all of them for a command that is not in the list.
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

// markExitCodes adds to every command the annotation with its exit codes.
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
		names[i] = fmt.Sprintf("%d %s", code, fault.MainKind(code).Error())
	}
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[cli.ExitCodes] = strings.Join(names, ", ")
}
