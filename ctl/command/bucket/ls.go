package bucket

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/term"
)

// LsOptions are the options of bucket ls.
type LsOptions struct {
	Factory *cli.Factory
}

// NewLs returns the command.
func NewLs(f *cli.Factory) *cobra.Command {
	o := &LsOptions{Factory: f}
	return &cobra.Command{
		Use:   "ls",
		Short: "List buckets and their policies",
		Args:  cli.Words(),
		RunE:  f.Run(o, o.run),
	}
}

func (o *LsOptions) run(ctx context.Context, _ *cobra.Command) error {
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	buckets, err := c.Buckets(ctx)
	if err != nil {
		return err
	}
	rows := o.Factory.Rows(term.Column{Title: "BUCKET"}, term.Column{Title: "SURVIVES"}, term.Column{Title: "CREATED"})
	for _, b := range buckets {
		s := describe(b)
		if err := rows.Add(s, s.Address, survives(s.Survive), s.Created); err != nil {
			return err
		}
	}
	return rows.Flush(nil)
}

func survives(n *int) string {
	if n == nil {
		return "default"
	}
	return strconv.Itoa(*n)
}
