package profile

import (
	"cmp"
	"context"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/term"
	profiles "github.com/ringstore/ringstore/profile"
)

// NewShow returns the command.
func NewShow(f *cli.Factory) *cobra.Command {
	o := &Options{Factory: f}
	return &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show which server and key are in use, and why",
		Long: `Show which profile other commands would use now, or with --profile NAME: each field, and
where it comes from. The server is not contacted, and the secret is not shown.`,
		Example: `  s3ctl profile show
  RINGSTORE_PROFILE=prod s3ctl profile show`,
		Args: cli.Optional(&o.Name),
		RunE: f.Run(o, o.show),
	}
}

// inUse is the --json line for the profile in use.
type inUse struct {
	one
	File string  `json:"file"`
	From origins `json:"from"`
}

// origins name the source of each field: a flag, an environment variable, "default", or "profile".
type origins struct {
	Name      string `json:"name"`
	Endpoint  string `json:"endpoint"`
	AccessKey string `json:"access_key"`
	Secret    string `json:"secret_key"`
}

func (o *Options) show(context.Context, *cobra.Command) error {
	file, set, err := load(o.Factory)
	if err != nil {
		return err
	}
	asked := cmp.Or(o.Name, o.Factory.Global.Profile)
	p, name, err := set.Choose(asked, o.Factory.Getenv)
	if err != nil {
		return cli.FromProfile(err)
	}
	line := inUse{
		one:  describe(name, p, name == set.DefaultName()),
		File: string(file),
		From: o.origins(asked, name, set),
	}
	o.warn(file)
	if o.Factory.Global.JSON {
		return o.Factory.ShowJSON(line)
	}
	table := o.Factory.IO.NewTable(term.Column{Title: "FIELD"}, term.Column{Title: "FROM"}, term.Column{Title: "VALUE"})
	for _, row := range [][]string{
		{"name", line.From.Name, name},
		{"endpoint", line.From.Endpoint, p.Endpoint},
		{"access key", line.From.AccessKey, p.AccessKey},
		{"secret", line.From.Secret, "(not shown)"},
		{"file", "", line.File},
	} {
		if err := table.Row(row...); err != nil {
			return err
		}
	}
	return table.Flush()
}

func (o *Options) origins(asked, name string, set profiles.Set) origins {
	from := func(variable string) string {
		if o.Factory.Getenv(variable) != "" {
			return variable
		}
		return "profile"
	}
	by := "default"
	switch _, found := set.Profiles[name]; {
	case o.Name != "":
		by = "argument"
	case asked != "":
		by = "--profile"
	case o.Factory.Getenv(profiles.EnvProfile) != "":
		by = profiles.EnvProfile
	case !found:
		by = "environment"
	}
	return origins{Name: by, Endpoint: from(profiles.EnvEndpoint), AccessKey: from(profiles.EnvAccessKey), Secret: from(profiles.EnvSecret)}
}

// warn notes that others can read the file of secrets. s3ctl itself always writes it with mode 0600.
func (o *Options) warn(file profiles.File) {
	info, err := os.Stat(string(file))
	if err != nil || info.Mode().Perm()&0o077 == 0 || info.Mode()&fs.ModeType != 0 {
		return
	}
	o.Factory.Note("others can read the secrets in %s: chmod 600 %s", string(file), string(file))
}
