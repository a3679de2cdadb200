package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// ExitCodes is the annotation of a command with its possible exit codes, in one line.
const ExitCodes = "exit-codes"

// Usage is an error of the command line. Its hint is the command's help.
func Usage(cmd *cobra.Command, format string, args ...any) *fault.Error {
	return fault.New(problem.Usage, format, args...).WithHint("%s --help", cmd.CommandPath())
}

// Args requires at least least and at most most arguments; most < 0 means any number.
func Args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return Usage(cmd, "too few arguments: %s", cmd.UseLine())
		case most >= 0 && len(args) > most:
			return Usage(cmd, "too many arguments: %s", cmd.UseLine())
		}
		return nil
	}
}

// Run runs a command whose options were parsed. Its errors are classified.
func (f *Factory) Run(cmd *cobra.Command, options any, run func(context.Context, *cobra.Command) error) error {
	if f.Inspect != nil {
		return f.Inspect(options)
	}
	return Classified(run(cmd.Context(), cmd))
}

// Classified makes every error of a command a *fault.Error, except that of an ended context. An error that is neither
// was returned by cobra itself.
func Classified(err error) error {
	if err == nil || fault.ExitOf(err) == fault.Interrupted {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fault.Wrap("", err)
}

// Noun runs a command that only has verbs below it.
func Noun(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return Unknown(cmd, args[0])
}

// Unknown is the error of a word that is not a command below cmd. The hint names similar commands.
func Unknown(cmd *cobra.Command, word string) *fault.Error {
	cmd.SuggestionsMinimumDistance = 1
	err := Usage(cmd, "unknown command %q for %q", word, cmd.CommandPath())
	for _, near := range cmd.SuggestionsFor(word) {
		err.Hint = cmd.CommandPath() + " " + near + " --help\n" + err.Hint
	}
	return err
}
