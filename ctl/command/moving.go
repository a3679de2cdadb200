package command

import (
	"math"

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
	cmd.Flags().IntVarP(&m.Parallel, "parallel", "j", transfer.DefaultParallel, "requests at once, for files and the parts of large ones together")
	cmd.Flags().IntVar(&m.Tries, "tries", transfer.DefaultRetry().Tries, "times to try while the server was not reached yet; one that goes away later is waited for, up to 5 minutes")
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
	if mover.State, err = profile.StateDir(); err != nil {
		return nil, nil, fault.Wrap("", err)
	}
	return mover, c, nil
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
	if err != nil || n == 0 || n > math.MaxInt64 {
		return fault.New("usage", "%q is no number of bytes, such as 500K, 10M or 1.5GiB", text)
	}
	*b = ByteRate(n)
	return nil
}

// Type implements pflag.Value.
func (*ByteRate) Type() string { return "BYTES" }
