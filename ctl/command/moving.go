package command

import (
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/profile"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
)

// Moving are the options that all verbs share that move bytes.
type Moving struct {
	Parallel int
	Tries    int
	Limit    ByteRate
}

// flags adds the options to a command.
func (m *Moving) flags(cmd *cobra.Command) {
	parallelFlag(cmd, &m.Parallel, "requests at once, for files and the parts of large ones together")
	triesFlag(cmd, &m.Tries)
	cmd.Flags().Var(&m.Limit, "bwlimit", "most bytes a second in all, as 500K, 10M or 1.5GiB")
}

// mover makes what moves the bytes, and has it talk to the report.
func (m *Moving) mover(f *cli.Factory, progress term.Progress, report *cli.Report) (*transfer.Mover, *client.Client, error) {
	mover, c, err := f.Mover(progress, f.Retry())
	if err != nil {
		return nil, nil, err
	}
	mover.Retry.Tries = m.Tries
	mover.Lanes = transfer.NewLanes(m.Parallel)
	mover.Note = func(text string) { report.Note("%s", text) }
	if m.Limit > 0 {
		mover.Limit = transfer.NewLimit(int64(m.Limit))
	}
	// Without a home nothing can be resumed, which the mover says where it matters.
	mover.State, _ = profile.StateDir()
	return mover, c, nil
}

// Bounds of numbers on the command line. More requests at once make no link faster, and each holds memory and a connection.
const (
	maxParallel = 256
	maxTries    = 1000
)

// counted is a flag's number of things, from 1 to most.
type counted struct {
	n    *int
	most int
}

// String implements pflag.Value.
func (c counted) String() string {
	if c.n == nil {
		return ""
	}
	return strconv.Itoa(*c.n)
}

// Set implements pflag.Value.
func (c counted) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > c.most {
		return fault.New("usage", "%q is not a number from 1 to %d", text, c.most)
	}
	*c.n = n
	return nil
}

// Type implements pflag.Value.
func (counted) Type() string { return "N" }

// parallelFlag adds --parallel to a command.
func parallelFlag(cmd *cobra.Command, n *int, usage string) {
	*n = transfer.DefaultParallel
	cmd.Flags().VarP(counted{n, maxParallel}, "parallel", "j", usage)
}

// triesFlag adds --tries to a command.
func triesFlag(cmd *cobra.Command, n *int) {
	*n = transfer.DefaultRetry().Tries
	cmd.Flags().Var(counted{n, maxTries}, "tries", "times to try while the server was not reached yet; one that is away later is waited for, up to 5 minutes")
}

// ByteRate is a number of bytes a second, as a flag.
type ByteRate int64

// String implements pflag.Value.
func (b *ByteRate) String() string {
	if *b == 0 {
		return ""
	}
	return humanize.IBytes(uint64(*b))
}

// Set implements pflag.Value.
func (b *ByteRate) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	// The library reads "1,000" as a thousand, where others mean one and a fraction.
	if err != nil || n == 0 || n > math.MaxInt64 || strings.Contains(text, ",") {
		return fault.New("usage", "%q is not a number of bytes, such as 500K, 10M or 1.5GiB", text)
	}
	*b = ByteRate(n)
	return nil
}

// Type implements pflag.Value.
func (*ByteRate) Type() string { return "BYTES" }
