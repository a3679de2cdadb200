package profile

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	profiles "github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/problem"
)

// AddOptions are the options of profile add.
type AddOptions struct {
	Factory *cli.Factory

	Name      string
	Endpoint  string
	AccessKey string
	Use       bool
	NoCheck   bool // save the profile without contacting the server
}

// NewAdd returns the command.
func NewAdd(f *cli.Factory) *cobra.Command {
	o := &AddOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "add NAME --endpoint http://HOST:PORT --access-key KEY",
		Short: "Add or replace a profile",
		Long: `Add or replace a profile. The secret is asked for on a terminal, and otherwise read from
standard input as one line; it is not a flag, so that no process list and no shell history
shows it. RINGSTORE_SECRET_KEY is used if it is set, and RINGSTORE_ENDPOINT and
RINGSTORE_ACCESS_KEY for flags that are not given.

Before the profile is saved, s3ctl checks that the server is a gateway and accepts the key.
--no-check saves the profile of a server that cannot be reached at present.`,
		Example: `  s3ctl profile add prod --endpoint https://store.example.com --access-key RK7Q --use
  s3ctl profile add backup --endpoint http://10.0.0.5:8080 --access-key RK8B < secret`,
		Args: cli.Words(&o.Name),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().StringVar(&o.Endpoint, "endpoint", "", "base URL of the server's REST API")
	cmd.Flags().StringVar(&o.AccessKey, "access-key", "", "access key")
	cmd.Flags().BoolVar(&o.Use, "use", false, "make it the default profile")
	cmd.Flags().BoolVar(&o.NoCheck, "no-check", false, "save without contacting the server")
	return cmd
}

func (o *AddOptions) run(_ context.Context, cmd *cobra.Command) error {
	p, err := o.read(cmd)
	if err != nil {
		return err
	}
	if !o.NoCheck {
		if err := o.check(cmd.Context(), p); err != nil {
			return err
		}
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
	return done(o.Factory, "saved profile "+o.Name, describe(o.Name, p, o.Use))
}

// read collects the profile from flags, environment and standard input.
func (o *AddOptions) read(cmd *cobra.Command) (p profiles.Profile, err error) {
	if err := profiles.CheckName(o.Name); err != nil {
		return p, cli.FromProfile(err)
	}
	p.Endpoint = strings.TrimRight(cmp.Or(o.Endpoint, o.Factory.Getenv(profiles.EnvEndpoint)), "/")
	p.AccessKey = cmp.Or(o.AccessKey, o.Factory.Getenv(profiles.EnvAccessKey))
	if p.Endpoint == "" || p.AccessKey == "" {
		return p, cli.Usage(cmd, "--endpoint and --access-key are both needed")
	}
	if p.Secret = o.Factory.Getenv(profiles.EnvSecret); p.Secret == "" {
		if p.Secret, err = o.Factory.IO.ReadSecret("secret of " + p.AccessKey); err != nil {
			return p, err
		}
	}
	p.Secret = strings.TrimSpace(p.Secret)
	return p, cli.FromProfile(p.Validate())
}

// patience bounds the check of the server.
const patience = 15 * time.Second

// check checks that the server is a gateway and accepts the key.
func (o *AddOptions) check(ctx context.Context, p profiles.Profile) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := client.New(client.Config{Profile: p, Agent: "s3ctl/" + o.Factory.Build.Version})
	defer c.Close()
	_, err := c.Health(limited)
	if err == nil {
		_, err = c.Buckets(limited)
	}
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case limited.Err() != nil:
		err = fault.New(problem.Unavailable, "%s did not answer within %s", p.Endpoint, patience)
	}
	hint := "nothing was saved; --no-check saves the profile anyway"
	if first := fault.HintOf(err); first != "" && fault.ExitOf(err) != fault.Unavailable {
		hint = first + "\n" + hint
	}
	return &fault.Error{Kind: fault.KindOf(err), Err: err, Hint: hint}
}

// done shows a success.
func done(f *cli.Factory, line string, o one) error {
	return f.ShowSuccess(cli.Result{JSON: o, Cells: []string{o.Name}, Line: line})
}
