// Package session has the commands for unfinished uploads: `s3ctl session ls` and `abort`.
package session

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// New returns the command with its subcommands.
func New(f *cli.Factory) *cobra.Command {
	return cli.Noun(&cobra.Command{Use: "session COMMAND", Short: "List and abort unfinished uploads"}, NewLs(f), NewAbort(f))
}

// find yields the sessions for an address: of the object with that key and of everything under it. An empty
// address means all buckets.
func find(ctx context.Context, c *client.Client, at address.Remote) iter.Seq2[rest.Session, error] {
	return func(yield func(rest.Session, error) bool) {
		for s, err := range c.Sessions(ctx, at.Bucket, at.Key) {
			if err == nil && s.Name != at.Key && !strings.HasPrefix(s.Name, at.Folder()) {
				continue
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// shown is the --json line for a session.
type shown struct {
	SessionID string `json:"session_id"`
	Address   string `json:"address"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Size      *int64 `json:"size,omitempty"` // omitted if unknown
	Received  int64  `json:"received"`
	Created   string `json:"created_at"`
	Expires   string `json:"expires_at"`
	DryRun    bool   `json:"dry_run,omitempty"`
}

func describe(s rest.Session) shown {
	line := shown{
		SessionID: s.SessionID, Address: address.Remote{Bucket: s.Bucket, Key: s.Name}.String(), Bucket: s.Bucket, Key: s.Name,
		Received: s.Received, Created: cli.Time(s.CreatedAt), Expires: cli.Time(s.ExpiresAt),
	}
	if s.Size >= 0 {
		line.Size = &s.Size
	}
	return line
}

// LsOptions are the options of session ls.
type LsOptions struct {
	Factory *cli.Factory

	Address string // "": all buckets
}

// NewLs returns the command.
func NewLs(f *cli.Factory) *cobra.Command {
	o := &LsOptions{Factory: f}
	return &cobra.Command{
		Use:   "ls [s3://BUCKET[/PREFIX]]",
		Short: "List unfinished uploads",
		Long: `List uploads in parts that were neither completed nor aborted: how much of each has
arrived, and when it expires. With an address, only those of the object with this key and of
everything under it. Running the same put again resumes its upload.`,
		Args: cli.Optional(&o.Address),
		RunE: f.Run(o, o.run),
	}
}

func (o *LsOptions) run(ctx context.Context, _ *cobra.Command) error {
	var at address.Remote
	if o.Address != "" {
		var err error
		if at, err = address.Parse(o.Address); err != nil {
			return err
		}
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	rows := o.Factory.Rows(
		term.Column{Title: "SESSION"}, term.Column{Title: "RECEIVED", Right: true}, term.Column{Title: "SIZE", Right: true},
		term.Column{Title: "EXPIRES"}, term.Column{Title: "ADDRESS"})
	for s, err := range find(ctx, c, at) {
		if err != nil {
			return rows.Flush(err)
		}
		if err := rows.Add(describe(s), o.cells(s)...); err != nil {
			return err
		}
	}
	return rows.Flush(nil)
}

func (o *LsOptions) cells(s rest.Session) []string {
	name := address.Remote{Bucket: s.Bucket, Key: s.Name}.String()
	if o.Factory.IO.OutTTY {
		return []string{s.SessionID, term.Size(s.Received), term.Size(s.Size), o.Factory.Moment(s.ExpiresAt), name}
	}
	size := "unknown"
	if s.Size >= 0 {
		size = cli.Number(s.Size)
	}
	return []string{s.SessionID, cli.Number(s.Received), size, cli.Time(s.ExpiresAt), name}
}

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
	report := o.Factory.NewReport("session abort", "session")
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
	return cli.Each(ctx, report, 1, sessions, func(s unfinished, _ *cli.Task) (cli.Result, error) {
		if o.DryRun {
			return o.result(s.Session), nil
		}
		return o.result(s.Session), c.AbortSession(ctx, s.SessionID)
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
	return cli.Result{
		JSON: line, Cells: []string{s.SessionID, line.Address},
		Line: did + line.Address + "  " + term.Size(s.Received) + " of " + term.Size(s.Size) + "  " + s.SessionID,
	}
}
