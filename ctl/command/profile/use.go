package profile

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	profiles "github.com/ringstore/ringstore/profile"
)

// UseOptions are the options of profile use.
type UseOptions struct {
	Factory *cli.Factory

	Name string
}

// NewUse returns the command.
func NewUse(f *cli.Factory) *cobra.Command {
	o := &UseOptions{Factory: f}
	return &cobra.Command{
		Use:   "use NAME",
		Short: "Make a profile the default",
		Args:  cli.Words(&o.Name),
		RunE:  f.Run(o, o.run),
	}
}

func (o *UseOptions) run(context.Context, *cobra.Command) error {
	return change(o.Factory, o.Name, "the default profile is now "+o.Name, profiles.File.Use, true)
}

// change applies do to an existing profile and shows the result.
func change(f *cli.Factory, name, line string, do func(profiles.File, string) error, isDefault bool) error {
	file, before, err := load(f)
	if err != nil {
		return err
	}
	if err := do(file, name); err != nil {
		return cli.FromProfile(err)
	}
	return done(f, line, describe(name, before.Profiles[name], isDefault))
}
