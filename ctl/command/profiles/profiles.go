// Package profiles has the verbs of `s3ctl profile`, one file each.
package profiles

import (
	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
)

// New makes the noun with its verbs.
func New(f *cli.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile COMMAND",
		Short: "Say which servers there are, and which one to use",
		Long: `Profiles say how to reach a server: its endpoint, an access key and its secret. Where
they are kept, and which one is in use: s3ctl help profiles.`,
		Args: cli.Args(0, -1),
		RunE: cli.Noun,
	}
	cmd.AddCommand(NewAdd(f, nil), NewLs(f, nil), NewRm(f, nil), NewShow(f, nil), NewUse(f, nil))
	return cmd
}

// one is the line of --json for a profile. Its secret is never shown.
type one struct {
	Name      string `json:"name"`
	Endpoint  string `json:"endpoint"`
	AccessKey string `json:"access_key"`
	Default   bool   `json:"default"`
}
