package profile

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/term"
)

// LsOptions are the options of profile ls.
type LsOptions struct {
	Factory *cli.Factory
}

// NewLs returns the command.
func NewLs(f *cli.Factory) *cobra.Command {
	o := &LsOptions{Factory: f}
	return &cobra.Command{
		Use:   "ls",
		Short: "List the profiles, without their secrets",
		Args:  cli.Words(),
		RunE:  f.Run(o, o.run),
	}
}

func (o *LsOptions) run(context.Context, *cobra.Command) error {
	_, set, err := load(o.Factory)
	if err != nil {
		return err
	}
	rows := o.Factory.Rows(term.Column{Title: "NAME"}, term.Column{Title: "ENDPOINT"}, term.Column{Title: "ACCESS KEY"}, term.Column{Title: "DEFAULT"})
	for _, name := range set.Names() {
		line := describe(name, set.Profiles[name], name == set.DefaultName())
		star := map[bool]string{true: "*", false: ""}[line.Default]
		if err := rows.Add(line, name, line.Endpoint, line.AccessKey, star); err != nil {
			return err
		}
	}
	return rows.Flush(nil)
}
