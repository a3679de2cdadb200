package profile

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	profiles "github.com/ringstore/ringstore/profile"
)

// RmOptions are the options of profile rm.
type RmOptions struct {
	Factory *cli.Factory

	Name string
}

// NewRm returns the command.
func NewRm(f *cli.Factory) *cobra.Command {
	o := &RmOptions{Factory: f}
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a profile",
		Args:  cli.Words(&o.Name),
		RunE:  f.Run(o, o.run),
	}
}

func (o *RmOptions) run(context.Context, *cobra.Command) error {
	return change(o.Factory, o.Name, "removed profile "+o.Name, profiles.File.Remove, false)
}
