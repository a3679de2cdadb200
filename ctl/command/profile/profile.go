// Package profile has the commands below `s3ctl profile`.
package profile

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/term"
	profiles "github.com/ringstore/ringstore/profile"
)

// New returns the command with its subcommands.
func New(f *cli.Factory) *cobra.Command {
	return cli.Noun(&cobra.Command{
		Use:   "profile COMMAND",
		Short: "Manage the servers and access keys that s3ctl uses",
		Long: `A profile has what s3ctl needs to reach a server: its endpoint, an access key and the
secret. See s3ctl help profiles for where profiles are stored and which one is in use.`,
	}, NewAdd(f), NewLs(f), NewRm(f), NewShow(f), NewUse(f))
}

// one is the --json line for a profile. The secret is never shown.
type one struct {
	Name      string `json:"name"`
	Endpoint  string `json:"endpoint"`
	AccessKey string `json:"access_key"`
	Default   bool   `json:"default"`
}

func describe(name string, p profiles.Profile, isDefault bool) one {
	return one{Name: name, Endpoint: p.Endpoint, AccessKey: p.AccessKey, Default: isDefault}
}

// load returns the user's profiles and the file that they are in.
func load(f *cli.Factory) (file profiles.File, set profiles.Set, err error) {
	if file, err = f.Profiles(); err == nil {
		set, err = file.Load()
	}
	return file, set, err
}

// Options are the options of the commands that take at most the name of a profile.
type Options struct {
	Factory *cli.Factory

	Name string // "": the one in use
}

// NewLs returns the command.
func NewLs(f *cli.Factory) *cobra.Command {
	o := &Options{Factory: f}
	return &cobra.Command{
		Use:   "ls",
		Short: "List the profiles, without their secrets",
		Args:  cli.Words(),
		RunE:  f.Run(o, o.list),
	}
}

func (o *Options) list(context.Context, *cobra.Command) error {
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

// NewUse returns the command.
func NewUse(f *cli.Factory) *cobra.Command {
	o := &Options{Factory: f}
	return &cobra.Command{
		Use:   "use NAME",
		Short: "Make a profile the default",
		Args:  cli.Words(&o.Name),
		RunE:  f.Run(o, o.change("the default profile is now ", profiles.File.Use, true)),
	}
}

// NewRm returns the command.
func NewRm(f *cli.Factory) *cobra.Command {
	o := &Options{Factory: f}
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a profile",
		Args:  cli.Words(&o.Name),
		RunE:  f.Run(o, o.change("removed profile ", profiles.File.Remove, false)),
	}
}

// change returns a run that applies do to an existing profile and shows the result.
func (o *Options) change(did string, do func(profiles.File, string) error, isDefault bool) func(context.Context, *cobra.Command) error {
	return func(context.Context, *cobra.Command) error {
		file, before, err := load(o.Factory)
		if err != nil {
			return err
		}
		if err := do(file, o.Name); err != nil {
			return cli.FromProfile(err)
		}
		return done(o.Factory, did+o.Name, describe(o.Name, before.Profiles[o.Name], isDefault))
	}
}
