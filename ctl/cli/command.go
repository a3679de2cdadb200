package cli

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// ExitCodes is the annotation of a command with its possible exit codes, in one line.
const ExitCodes = "exit-codes"

// Name is the name of a command without that of the program: "bucket create"; "" for the program itself.
func Name(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
}

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
	cmd.SuggestionsMinimumDistance = 2
	err := Usage(cmd, "unknown command %q for %q", word, cmd.CommandPath())
	near := cmd.SuggestionsFor(word)
	if word == "" {
		return err
	}
	if own, ok := elsewhere[word]; ok && !cmd.HasParent() {
		near = []string{own}
	}
	likely := slices.DeleteFunc(slices.Clone(near), func(name string) bool { return name[0] != word[0] }) // the first letter is rarely wrong
	if len(likely) > 0 {
		near = likely
	}
	if len(near) > 0 {
		lead := cmd.CommandPath() + " "
		err.Hint = "did you mean: " + lead + strings.Join(near, ", "+lead) + "?\n" + err.Hint
	}
	return err
}

// elsewhere are the commands of other tools by the word that they have there.
var elsewhere = map[string]string{
	"alias": "profile", "config": "profile", "configure": "profile", "copy": "cp", "copyto": "cp", "create": "mb", "delete": "rm", "del": "rm",
	"dir": "ls", "download": "get", "info": "stat", "list": "ls", "lsd": "ls", "move": "mv", "mkdir": "mb", "pipe": "put -", "purge": "rm -r",
	"rcat": "put -", "remove": "rm", "rename": "mv", "rmdir": "rb", "size": "du", "update": "version", "upload": "put",
}

// value is the value of a flag; its zero value has the text "".
type value[T any] struct {
	name  string
	to    *T
	parse func(string) (T, error)
	show  func(T) string
}

// NewValue returns the value of a flag that is stored in to, and shown under that name in the help.
func NewValue[T any](name string, to *T, parse func(string) (T, error), show func(T) string) pflag.Value {
	return &value[T]{name, to, parse, show}
}

// String implements pflag.Value.
func (v *value[T]) String() string { return v.show(*v.to) }

// Type implements pflag.Value.
func (v *value[T]) Type() string { return v.name }

// Set implements pflag.Value.
func (v *value[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err == nil {
		*v.to = parsed
	}
	return err
}

// DryRunFlag adds --dry-run to a command.
func DryRunFlag(cmd *cobra.Command, dryRun *bool) {
	cmd.Flags().BoolVarP(dryRun, "dry-run", "n", false, "show what would be done, without doing it")
}

// BytesFlag adds a flag for a number of bytes, of at least least. Before it is given, to must have a lower value.
func BytesFlag(cmd *cobra.Command, to *int64, name string, least int64, usage string) {
	BytesFlagP(cmd, to, name, "", least, usage)
}

// BytesFlagP is BytesFlag with a letter.
func BytesFlagP(cmd *cobra.Command, to *int64, name, letter string, least int64, usage string) {
	parse := func(text string) (int64, error) { return ParseBytes(text, uint64(least)) }
	show := func(n int64) string {
		if n < least {
			return ""
		}
		return humanize.IBytes(uint64(n))
	}
	cmd.Flags().VarP(NewValue("BYTES", to, parse, show), name, letter, usage)
}

// ParseWait parses the value of --wait: 0, or a time such as 30s or 5m.
func ParseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 24*time.Hour {
		return 0, fault.New(problem.Usage, "%q is not a time from 0 to 24h, such as 30s or 5m", text)
	}
	return d, nil
}

// ParseBytes parses a flag value in bytes, of at least least: 500K, 10M or 1.5GiB.
func ParseBytes(text string, least uint64) (int64, error) {
	n, err := humanize.ParseBytes(text)
	// The library reads "1,5" as fifteen.
	if err != nil || n < least || n > math.MaxInt64 || strings.Contains(text, ",") {
		return 0, fault.New(problem.Usage, "%q is not a number of bytes, such as 500K, 10M or 1.5GiB", text)
	}
	return int64(n), nil
}
