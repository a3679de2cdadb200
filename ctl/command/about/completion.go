package about

import (
	"bytes"
	_ "embed"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
)

// withoutPackage makes the script for bash work where the bash-completion package is missing.
//
//go:embed completion.bash
var withoutPackage []byte

// NewCompletion makes the command. It stands in for cobra's own, whose script for bash
// needs a package that servers often do not have.
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
		RunE: func(cmd *cobra.Command, args []string) error {
			script, err := completionScript(cmd.Root(), args[0])
			if err != nil {
				return err
			}
			_, err = f.IO.Out.Write(script)
			return cli.Classified(err)
		},
	}
}

func completionScript(root *cobra.Command, shell string) ([]byte, error) {
	var b bytes.Buffer
	var err error
	switch shell {
	case "bash":
		err = root.GenBashCompletionV2(&b, true)
		b.Write(withoutPackage)
	case "zsh":
		err = root.GenZshCompletion(&b)
	case "fish":
		err = root.GenFishCompletion(&b, true)
	default:
		return nil, fault.New("usage", "there is no completion for %q", shell).WithHint("choose bash, zsh or fish")
	}
	return b.Bytes(), cli.Classified(err)
}
