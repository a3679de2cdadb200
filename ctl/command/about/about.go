// Package about has the commands about s3ctl itself: its version, its man pages, and its shell completion
// scripts.
package about

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
)

// NewVersion makes the command.
func NewVersion(f *cli.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of s3ctl",
		Long: `Show the version of s3ctl, the commit that it was built from, the Go version and the
platform, without contacting a server. s3ctl --version shows the same.`,
		Args: cli.Words(),
		RunE: func(*cobra.Command, []string) error { return cli.Classified(ShowVersion(f)) },
	}
}

// ShowVersion runs version and --version.
func ShowVersion(f *cli.Factory) error {
	b := f.Build
	with := []string{}
	for _, fact := range []string{short(b), b.Go, b.Platform} {
		if fact != "" {
			with = append(with, fact)
		}
	}
	line := "s3ctl " + b.Version
	if len(with) > 0 {
		line += " (" + strings.Join(with, ", ") + ")"
	}
	return f.Show(cli.Result{JSON: b, Cells: []string{b.Version, b.Commit, b.Go, b.Platform}, Line: line})
}

// short returns the abbreviated commit.
func short(b cli.Build) string {
	if b.Commit == "" {
		return ""
	}
	commit := "commit " + b.Commit[:min(len(b.Commit), 12)]
	if b.Modified {
		commit += " and changes"
	}
	return commit
}
