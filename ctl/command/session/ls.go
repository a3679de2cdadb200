package session

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/rest"
)

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
		return []string{s.SessionID, term.Size(s.Received), term.Size(s.Size), s.ExpiresAt.Local().Format("2006-01-02 15:04"), name}
	}
	size := "unknown"
	if s.Size >= 0 {
		size = cli.Number(s.Size)
	}
	return []string{s.SessionID, cli.Number(s.Received), size, cli.Time(s.ExpiresAt), name}
}
