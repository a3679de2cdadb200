package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/fault"
)

// ExitCodes is the annotation of a command that lists the codes it can end with, in one line.
const ExitCodes = "exit-codes"

// Usage is an error of the command line. The next step is the command's help.
func Usage(cmd *cobra.Command, format string, args ...any) *fault.Error {
	return fault.New("usage", format, args...).WithHint("%s --help", cmd.CommandPath())
}

// Args wants at least least and at most most arguments; most < 0 is any number.
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

// Classified makes every error of a command's run a *fault.Error, or leaves it
// that of an ended context. What cobra itself returns is then known by being neither.
func Classified(err error) error {
	if err == nil || fault.ExitOf(err) == fault.Interrupted {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fault.Wrap("", err)
}

// Noun is the run of a command that only has verbs below it.
func Noun(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return Unknown(cmd, args[0])
}

// Unknown is the error of a word that is no command below cmd. The next step has those that look like it.
func Unknown(cmd *cobra.Command, word string) *fault.Error {
	cmd.SuggestionsMinimumDistance = 1
	err := Usage(cmd, "unknown command %q for %q", word, cmd.CommandPath())
	for _, near := range cmd.SuggestionsFor(word) {
		err.Hint = cmd.CommandPath() + " " + near + " --help\n" + err.Hint
	}
	return err
}
