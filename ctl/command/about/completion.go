package about

import (
	_ "embed"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
)

// The scripts. No key may be able to run a command, so none of them evaluates the line or what is offered.
var (
	//go:embed completion.bash
	bashScript []byte
	//go:embed completion.zsh
	zshScript []byte
	//go:embed completion.fish
	fishScript []byte
)

// NewCompletion makes the command. It stands in for cobra's own, whose scripts evaluate the line that is being written, with
// all that a completed name brought into it.
func NewCompletion(f *cli.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write a script that makes a shell complete command lines",
		Long: `Write a script that makes a shell complete the command lines of s3ctl: commands and
flags, profiles and sessions, and live from the server the buckets and the keys in them. It
asks for at most two seconds, and is silent where there is no answer.`,
		Example: `  source <(s3ctl completion bash)                 this shell
  s3ctl completion bash > ~/.local/share/bash-completion/completions/s3ctl
  s3ctl completion zsh > "${fpath[1]}/_s3ctl"
  s3ctl completion fish > ~/.config/fish/completions/s3ctl.fish`,
		Args:      cli.Args(1, 1),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(_ *cobra.Command, args []string) error {
			script, known := map[string][]byte{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[args[0]]
			if !known {
				return fault.New("usage", "there is no completion for %q", args[0]).WithHint("choose bash, zsh or fish")
			}
			_, err := f.IO.Out.Write(script)
			return cli.Classified(err)
		},
	}
}
