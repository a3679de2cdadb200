package profiles

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/profile"
)

// AddOptions are those of profile add.
type AddOptions struct {
	Factory *cli.Factory

	Name      string
	Endpoint  string
	AccessKey string
	Use       bool
}

// NewAdd makes the command. runF, unless nil, runs instead of the real thing.
func NewAdd(f *cli.Factory, runF func(context.Context, *AddOptions) error) *cobra.Command {
	o := &AddOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "add NAME --endpoint http://HOST:PORT --access-key KEY",
		Short: "Add or replace a profile",
		Long: `Add or replace a profile. The secret is asked for on a terminal and read as one line
from standard input otherwise; it is not a flag, so that no list of processes and no
shell history shows it. RINGSTORE_SECRET_KEY is taken where it is set.`,
		Example: `  s3ctl profile add prod --endpoint https://store.example.com --access-key RK7Q --use`,
		Args:    cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			return cli.Classified(o.run(cmd))
		},
	}
	cmd.Flags().StringVar(&o.Endpoint, "endpoint", "", "base URL of the server's REST API")
	cmd.Flags().StringVar(&o.AccessKey, "access-key", "", "access key")
	cmd.Flags().BoolVar(&o.Use, "use", false, "make it the default profile")
	return cmd
}

func (o *AddOptions) run(cmd *cobra.Command) error {
	if o.Endpoint == "" || o.AccessKey == "" {
		return cli.Usage(cmd, "--endpoint and --access-key are both needed")
	}
	if err := profile.CheckName(o.Name); err != nil {
		return fault.New("invalid", "%v", err)
	}
	secret := o.Factory.Getenv(profile.EnvSecret)
	if secret == "" {
		var err error
		if secret, err = o.Factory.IO.ReadSecret("secret of " + o.AccessKey); err != nil {
			return err
		}
	}
	p := profile.Profile{Endpoint: strings.TrimRight(o.Endpoint, "/"), AccessKey: o.AccessKey, Secret: strings.TrimSpace(secret)}
	if err := p.Validate(); err != nil {
		return fault.New("invalid", "%v", err)
	}
	file, err := o.Factory.Profiles()
	if err != nil {
		return err
	}
	if err := file.Save(o.Name, p); err != nil {
		return err
	}
	if o.Use {
		if err := file.Use(o.Name); err != nil {
			return err
		}
	}
	return done(o.Factory, "saved profile "+o.Name, one{Name: o.Name, Endpoint: p.Endpoint, AccessKey: p.AccessKey, Default: o.Use})
}

// done shows that something was done, unless --quiet asked for silence.
func done(f *cli.Factory, line string, o one) error {
	if f.Global.Quiet && !f.Global.JSON {
		return nil
	}
	return f.Show(cli.Result{JSON: o, Cells: []string{o.Name}, Line: line})
}
