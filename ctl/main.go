// Package ctl is s3ctl, the operator's one tool: it moves files to and from a
// gateway and says what is where. It speaks REST only and knows nothing of the daemons.
//
//	command/   the verbs, one file each          locate/    what arguments name
//	cli/       what every command is given       address/   s3:// addresses, wildcards
//	transfer/  moving files                      client/    the REST API
//	term/      tables, bar, questions            fault/     errors and exit codes
//	profile/   servers and keys
package ctl

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/command"
	"github.com/ringstore/ringstore/ctl/command/bucket"
	"github.com/ringstore/ringstore/ctl/command/profiles"
	"github.com/ringstore/ringstore/ctl/command/session"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
)

// Main runs s3ctl with the arguments after the program's name, and returns its exit code. When ctx
// ends, what is under way is given up cleanly and the code is 130. Results go
// to stdout and everything else to stderr; what is a terminal is found out here.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	f, closeAll := cli.NewFactory(term.Detect(stdin, stdout, stderr), os.Getenv, version())
	defer closeAll()
	return run(ctx, f, args)
}

func run(ctx context.Context, f *cli.Factory, args []string) int {
	root := newRoot(f)
	root.SetArgs(args)
	root.SetIn(f.IO.In)
	root.SetOut(f.IO.Out)
	root.SetErr(f.IO.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return int(fault.OK)
	}
	err = classify(cmd, err)
	name := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), root.Name()), " ")
	// Cobra stops reading flags at the first wrong one, --json behind it included.
	if fault.ExitOf(err) == fault.Usage {
		for _, arg := range args {
			f.Global.JSON = f.Global.JSON || arg == "--json"
		}
	}
	f.ShowError(name, err)
	return int(fault.ExitOf(err))
}

// classify knows errors of cobra's own by their being no fault: they are about the command line.
func classify(cmd *cobra.Command, err error) error {
	if errors.Is(err, context.Canceled) {
		return fault.New("interrupted", "interrupted")
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return cli.Usage(cmd, "%v", err)
}

func newRoot(f *cli.Factory) *cobra.Command {
	root := &cobra.Command{
		Use:   "s3ctl COMMAND",
		Short: "Store, fetch and look after files in Ringstore",
		Long: `s3ctl stores and fetches files in Ringstore.

Objects are named s3://BUCKET/KEY, "-" is a standard stream, everything else is a
local path. Results go to standard output: tables on a terminal, tab-separated lines
in a pipe, and one JSON object a line with --json. Errors and progress go to standard error.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&f.Global.Profile, "profile", "", "server to use (environment: RINGSTORE_PROFILE); see s3ctl help profile")
	flags.BoolVar(&f.Global.JSON, "json", false, "write results and errors as JSON, one object a line")
	flags.Var(&f.Global.Progress, "progress", "how transfers show how far they are: auto, bar, log, json or none")
	flags.BoolVarP(&f.Global.Quiet, "quiet", "q", false, "no progress, no notes, no lines for what went well")
	root.AddCommand(
		command.NewPut(f, nil), command.NewGet(f, nil), command.NewLs(f, nil), command.NewRm(f, nil),
		command.NewStat(f, nil), command.NewCat(f, nil), command.NewCp(f, nil), command.NewMv(f, nil),
		command.NewSync(f, nil), command.NewDu(f, nil), command.NewFind(f, nil), command.NewTree(f, nil),
		command.NewDiff(f, nil), command.NewVerify(f, nil),
		bucket.New(f), session.New(f), profiles.New(f), exitCodes(),
	)
	return root
}

// exitCodes is a help topic: `s3ctl help exit-codes`.
func exitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("s3ctl ends with one of these codes. With --json an error carries the code's name as\n\"code\" and the number as \"exit_code\".\n\n")
	b.WriteString(ExitCodeTable())
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimRight(b.String(), "\n")}
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
