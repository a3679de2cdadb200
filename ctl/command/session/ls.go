package session

import (
	"context"
	"strconv"

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
		Args: cli.Args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Address = args[0]
			}
			return f.Run(cmd, o, o.run)
		},
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
	table := o.Factory.IO.NewTable(
		term.Column{Title: "SESSION"}, term.Column{Title: "RECEIVED", Right: true}, term.Column{Title: "SIZE", Right: true},
		term.Column{Title: "EXPIRES"}, term.Column{Title: "ADDRESS"})
	for s, err := range find(ctx, c, at) {
		switch {
		case err != nil:
			_ = table.Flush()
			return err
		case o.Factory.Global.JSON:
			err = o.Factory.ShowJSON(describe(s))
		default:
			err = o.row(table, s)
		}
		if err != nil {
			return err
		}
	}
	return table.Flush()
}

func (o *LsOptions) row(table *term.Table, s rest.Session) error {
	name := address.Remote{Bucket: s.Bucket, Key: s.Name}.String()
	if o.Factory.IO.OutTTY {
		return table.Row(s.SessionID, term.Size(s.Received), term.Size(s.Size), s.ExpiresAt.Local().Format("2006-01-02 15:04"), name)
	}
	size := "unknown"
	if s.Size >= 0 {
		size = strconv.FormatInt(s.Size, 10)
	}
	return table.Row(s.SessionID, strconv.FormatInt(s.Received, 10), size, timestamp(s.ExpiresAt), name)
}
