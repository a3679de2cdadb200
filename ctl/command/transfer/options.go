package transfer

import (
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
)

// ManagerOptions are the options of all commands that transfer bytes.
type ManagerOptions struct {
	Parallel int
	Tries    int
	Limit    ByteRate
}

// flags adds the flags to a command.
func (m *ManagerOptions) flags(cmd *cobra.Command) {
	parallelFlag(cmd, &m.Parallel, "concurrent requests, for files and the parts of large ones together")
	triesFlag(cmd, &m.Tries)
	cmd.Flags().Var(&m.Limit, "bwlimit", "bytes a second in total, for example 500K, 10M or 1.5GiB")
}

// manager returns a transfer manager with these options, whose notes go to the report.
func (m *ManagerOptions) manager(f *cli.Factory, progress term.Progress, report *cli.Report) (*transfer.Manager, *client.Client, error) {
	manager, c, err := f.Transfers(progress, f.Retry())
	if err != nil {
		return nil, nil, err
	}
	manager.Retry.Tries = m.Tries
	manager.Lanes = transfer.NewLanes(m.Parallel)
	manager.Note = func(text string) { report.Note("%s", text) }
	if m.Limit > 0 {
		manager.Limit = transfer.NewLimit(int64(m.Limit))
	}
	// Without a home folder uploads cannot be resumed, which the manager notes when it matters.
	manager.State, _ = profile.StateDir()
	return manager, c, nil
}

// Bounds of flag values. More concurrent requests would not be faster, and each takes memory and a connection.
const (
	maxParallel = 256
	maxTries    = 1000
)

// counted is a flag value from 1 to most.
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
		return fault.New(problem.Usage, "%q is not a number from 1 to %d", text, c.most)
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
	cmd.Flags().Var(counted{n, maxTries}, "tries", "attempts to reach the server; after it was reached, requests are retried for 5 minutes")
}

// ByteRate is a flag value in bytes a second.
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
	n, err := cli.ParseBytes(text, 1)
	if err == nil {
		*b = ByteRate(n)
	}
	return err
}

// Type implements pflag.Value.
func (*ByteRate) Type() string { return "BYTES" }
