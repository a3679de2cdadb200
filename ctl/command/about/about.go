// Package about has the commands about s3ctl itself: its version, its man pages, and its shell completion
// scripts.
package about

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
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
	var with []string
	if b.Commit != "" {
		with = append(with, "commit "+b.Commit[:min(len(b.Commit), 12)]+map[bool]string{true: " and changes"}[b.Modified])
	}
	with = slices.DeleteFunc(append(with, b.Go, b.Platform), func(fact string) bool { return fact == "" })
	line := "s3ctl " + b.Version
	if len(with) > 0 {
		line += " (" + strings.Join(with, ", ") + ")"
	}
	return f.Show(cli.Result{JSON: b, Cells: []string{b.Version, b.Commit, b.Go, b.Platform}, Line: line})
}

// The completion scripts. None of them evaluates the command line or the completions, since a key could otherwise run a
// command.
var (
	//go:embed completion.bash
	bashScript []byte
	//go:embed completion.zsh
	zshScript []byte
	//go:embed completion.fish
	fishScript []byte
)

// NewCompletion returns the command. It replaces cobra's own, whose scripts evaluate the command line including completed
// names.
func NewCompletion(f *cli.Factory) *cobra.Command {
	shell := ""
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write a shell completion script",
		Long: `Write a script that adds completion of s3ctl command lines to a shell: commands and flags,
profiles and sessions, and live from the server buckets and keys. It waits for the server
for at most two seconds, and completes nothing after an error.`,
		Example: `  source <(s3ctl completion bash)                 this shell
  s3ctl completion bash > ~/.local/share/bash-completion/completions/s3ctl
  s3ctl completion zsh > "${fpath[1]}/_s3ctl"
  s3ctl completion fish > ~/.config/fish/completions/s3ctl.fish`,
		Args:      cli.Words(&shell),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(*cobra.Command, []string) error {
			script, known := map[string][]byte{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[shell]
			if !known {
				return fault.New(problem.Usage, "there is no completion for %q", shell).WithHint("choose bash, zsh or fish")
			}
			_, err := f.IO.Out.Write(script)
			return cli.Classified(err)
		},
	}
}
