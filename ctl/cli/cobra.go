package cli

import (
	"context"
	"errors"
	"math"

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

// The arguments of a command: each of these checks their number and stores them in the options of the command.

// List stores at least so many arguments.
func List(to *[]string, least int) cobra.PositionalArgs {
	return arguments(least, math.MaxInt, func(args []string) { *to = args })
}

// ListAndLast stores the last argument on its own, and at least one before it.
func ListAndLast(list *[]string, last *string) cobra.PositionalArgs {
	return arguments(2, math.MaxInt, func(args []string) { *list, *last = args[:len(args)-1], args[len(args)-1] })
}

// Words stores one argument in each of the strings.
func Words(to ...*string) cobra.PositionalArgs { return words(len(to), to) }

// Optional stores an argument that may be missing.
func Optional(to *string) cobra.PositionalArgs { return words(0, []*string{to}) }

func words(least int, to []*string) cobra.PositionalArgs {
	return arguments(least, len(to), func(args []string) {
		for i, arg := range args {
			*to[i] = arg
		}
	})
}

func arguments(least, most int, store func(args []string)) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return Usage(cmd, "too few arguments: %s", cmd.UseLine())
		case len(args) > most:
			return Usage(cmd, "too many arguments: %s", cmd.UseLine())
		}
		store(args)
		return nil
	}
}

// Run returns a cobra.Command.RunE that runs a command after its options were parsed. Its errors are classified.
func (f *Factory) Run(options any, run func(context.Context, *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		if f.Inspect != nil {
			return f.Inspect(options)
		}
		return Classified(run(cmd.Context(), cmd))
	}
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

// Noun completes a command that only has verbs below it.
func Noun(cmd *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	cmd.Args, cmd.RunE = cobra.ArbitraryArgs, Help
	cmd.AddCommand(verbs...)
	return cmd
}

// Help runs a command that only has verbs below it: it shows its help, or refuses an unknown verb.
func Help(cmd *cobra.Command, args []string) error {
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
