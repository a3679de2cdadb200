// Package profile has the commands below `s3ctl profile`, one file each.
package profile

import (
	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
)

// New returns the command with its subcommands.
func New(f *cli.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile COMMAND",
		Short: "Manage the servers and access keys that s3ctl uses",
		Long: `A profile has what s3ctl needs to reach a server: its endpoint, an access key and the
secret. See s3ctl help profiles for where profiles are stored and which one is in use.`,
		Args: cli.Args(0, -1),
		RunE: cli.Noun,
	}
	cmd.AddCommand(NewAdd(f), NewLs(f), NewRm(f), NewShow(f), NewUse(f))
	return cmd
}

// one is the --json line for a profile. The secret is never shown.
type one struct {
	Name      string `json:"name"`
	Endpoint  string `json:"endpoint"`
	AccessKey string `json:"access_key"`
	Default   bool   `json:"default"`
}
