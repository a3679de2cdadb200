package cli

import (
	"math"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

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
	parse := func(text string) (int64, error) { return ParseBytes(text, uint64(least)) }
	show := func(n int64) string {
		if n < least {
			return ""
		}
		return humanize.IBytes(uint64(n))
	}
	cmd.Flags().Var(NewValue("BYTES", to, parse, show), name, usage)
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
