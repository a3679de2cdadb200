package profiles

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/profile"
)

// RmOptions are the options of profile rm.
type RmOptions struct {
	Factory *cli.Factory

	Name string
}

// NewRm returns the command. runF replaces its run in tests; nil otherwise.
func NewRm(f *cli.Factory, runF func(context.Context, *RmOptions) error) *cobra.Command {
	o := &RmOptions{Factory: f}
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a profile",
		Args:  cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			return cli.Classified(o.run())
		},
	}
}

func (o *RmOptions) run() error {
	return change(o.Factory, o.Name, "removed profile "+o.Name, profile.File.Remove, false)
}
