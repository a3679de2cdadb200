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
		Args:  cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.Run(cmd, o, o.run)
		},
	}
}

func (o *LsOptions) run(context.Context, *cobra.Command) error {
	file, err := o.Factory.Profiles()
	if err != nil {
		return err
	}
	set, err := file.Load()
	if err != nil {
		return err
	}
	table := o.Factory.IO.NewTable(term.Column{Title: "NAME"}, term.Column{Title: "ENDPOINT"}, term.Column{Title: "ACCESS KEY"}, term.Column{Title: "DEFAULT"})
	for _, name := range set.Names() {
		p := set.Profiles[name]
		line := one{Name: name, Endpoint: p.Endpoint, AccessKey: p.AccessKey, Default: name == set.DefaultName()}
		if o.Factory.Global.JSON {
			err = o.Factory.ShowJSON(line)
		} else {
			err = table.Row(name, p.Endpoint, p.AccessKey, map[bool]string{true: "*", false: ""}[line.Default])
		}
		if err != nil {
			return err
		}
	}
	return table.Flush()
}
