package transfer

import (
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
)

// ManagerOptions are the options of all commands that transfer bytes.
type ManagerOptions struct {
	Parallel int
	Tries    int
	Limit    int64 // bytes a second; 0: unlimited
}

// flags adds the flags to a command.
func (m *ManagerOptions) flags(cmd *cobra.Command) {
	parallelFlag(cmd, &m.Parallel, "concurrent requests, for files and the parts of large ones together")
	triesFlag(cmd, &m.Tries)
	cli.BytesFlag(cmd, &m.Limit, "bwlimit", 1, "bytes a second in total, for example 500K, 10M or 1.5GiB")
}

// manager returns a transfer manager with these options.
func (m *ManagerOptions) manager(report *cli.Report, c *client.Client) *transfer.Manager {
	manager := report.Manager(c)
	if m.Tries > 0 {
		manager.Retry.Tries = m.Tries
	}
	manager.Lanes = transfer.NewLanes(m.Parallel)
	if m.Limit > 0 {
		manager.Limit = transfer.NewLimit(m.Limit)
	}
	// Without a home folder uploads cannot be resumed, which the manager notes when it matters.
	manager.State, _ = profile.StateDir()
	return manager
}

// Bounds of flag values. More concurrent requests would not be faster, and each takes memory and a connection.
const (
	maxParallel = 256
	maxTries    = 1000
)

// parallelFlag adds --parallel to a command.
func parallelFlag(cmd *cobra.Command, n *int, usage string) {
	*n = transfer.DefaultParallel
	cmd.Flags().VarP(counted(n, maxParallel), "parallel", "j", usage)
}

// triesFlag adds --tries to a command.
func triesFlag(cmd *cobra.Command, n *int) {
	cmd.Flags().Var(counted(n, maxTries), "tries", "attempts of each request at most (default: as many as --wait allows)")
}

// counted is a flag value from 1 to most.
func counted(n *int, most int) pflag.Value {
	parse := func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return 0, fault.New(problem.Usage, "%q is not a number from 1 to %d", text, most)
		}
		return n, nil
	}
	return cli.NewValue("N", n, parse, strconv.Itoa)
}
