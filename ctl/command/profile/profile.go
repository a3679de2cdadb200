// Package profile has the commands below `s3ctl profile`, one file each.
package profile

import (
	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
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
