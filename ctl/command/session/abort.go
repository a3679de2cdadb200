package session

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// AbortOptions are the options of session abort.
type AbortOptions struct {
	Factory *cli.Factory

	Sessions []string // ids
	All      string   // abort the sessions under this address instead; "": none
	Yes      bool
	DryRun   bool
}

// NewAbort returns the command.
func NewAbort(f *cli.Factory) *cobra.Command {
	o := &AbortOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "abort ID... | --all s3://BUCKET[/PREFIX]",
		Short: "Abort unfinished uploads",
		Long: `Abort uploads and remove the parts that have arrived. With --all, abort those of the object
with this key and of everything under it, after showing their number and asking; without a
terminal this fails unless --yes is given.`,
		Example: `  s3ctl session abort 0192f3a4-5b6c-7d8e-9f01-23456789abcd
  s3ctl session abort --all --yes s3://backup/db`,
		Args: o.read,
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().Bool("all", false, "abort all uploads under the address")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	cli.DryRunFlag(cmd, &o.DryRun)
	return cmd
}

// read parses the arguments: ids, or with --all one address.
func (o *AbortOptions) read(cmd *cobra.Command, args []string) error {
	all, err := cmd.Flags().GetBool("all")
	if err != nil {
		return err
	}
	switch {
	case !all && slices.ContainsFunc(args, address.IsRemote):
		return cli.Usage(cmd, "abort takes the ids that session ls shows").WithHint("for all uploads under an address: %s --all %s", cmd.CommandPath(), args[0])
	case !all || len(args) == 0:
		return cli.List(&o.Sessions, 1)(cmd, args)
	case len(args) > 1 || !address.IsRemote(args[0]):
		return cli.Usage(cmd, "--all takes one s3:// address")
	}
	o.All = args[0]
	return nil
}

func (o *AbortOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if o.All != "" && !o.Yes && !o.DryRun && !o.Factory.IO.CanAsk() {
		return cli.Usage(cmd, "this could abort many uploads, and there is no terminal to ask on").WithHint("add --yes to confirm")
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("session abort", "session", term.Silent())
	sessions, err := o.find(ctx, c, report)
	if err != nil {
		return err
	}
	if o.All != "" && !o.Yes && !o.DryRun && len(sessions) > 0 {
		yes, err := o.Factory.IO.Confirm("Abort " + term.Count(len(sessions), "session") + "?")
		if err != nil || !yes {
			return fault.New(problem.Interrupted, "nothing was aborted")
		}
	}
	return cli.Each(ctx, report, 1, sessions, func(s unfinished, _ func(error, time.Duration)) (cli.Result, error) {
		if o.DryRun {
			return o.result(s.Session), nil
		}
		return o.result(s.Session), o.Factory.Retry().Do(ctx, func() error { return c.AbortSession(ctx, s.SessionID) })
	})
}

// unfinished is a session, which its id names.
type unfinished struct{ rest.Session }

// String returns the id.
func (u unfinished) String() string { return u.SessionID }

// find looks up the sessions; one that does not exist is reported.
func (o *AbortOptions) find(ctx context.Context, c *client.Client, report *cli.Report) (found []unfinished, err error) {
	if o.All == "" {
		for _, id := range o.Sessions {
			s, err := c.Session(ctx, id)
			if err != nil {
				report.Fail(fault.Wrap(id, err))
				continue
			}
			found = append(found, unfinished{s})
		}
		return found, nil
	}
	at, err := address.Parse(o.All)
	if err != nil {
		return nil, err
	}
	for s, err := range find(ctx, c, at) {
		if err != nil {
			return nil, err
		}
		found = append(found, unfinished{s})
	}
	return found, nil
}

func (o *AbortOptions) result(s rest.Session) cli.Result {
	line := describe(s)
	line.DryRun = o.DryRun
	did := "aborted "
	if o.DryRun {
		did = "would abort "
	}
	return cli.Result{JSON: line, Cells: []string{s.SessionID, line.Address}, Line: did + line.Address + "  " + progress(s) + "  " + s.SessionID}
}
