// Package ctl is s3ctl, the operator's command-line tool: it transfers files to and from a gateway and shows what is stored
// where. It uses the REST API only and imports nothing of the daemons.
//
//	command/   the commands, by noun             locate/    objects and files that arguments name
//	cli/       what all commands share           address/   s3:// addresses, wildcards, rules
//	transfer/  uploads, downloads, copies        client/    REST client
//	localfile/ files that a transfer writes      journal/   logs of unfinished transfers
//	term/      tables, progress, questions       fault/     errors and exit codes
//	syncer/    synchronization of two folders    compare/   comparison of two folders
//	retry/     retries and waiting               pace/      rates of the recent past
//	complete/  shell completion                  manual/    the manual as Markdown and man pages
//
// Servers and access keys are in package profile of the module, since standalone servers write them, too.
package ctl

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/command/about"
	"github.com/ringstore/ringstore/ctl/command/bucket"
	"github.com/ringstore/ringstore/ctl/command/object"
	"github.com/ringstore/ringstore/ctl/command/profile"
	"github.com/ringstore/ringstore/ctl/command/session"
	"github.com/ringstore/ringstore/ctl/command/transfer"
	"github.com/ringstore/ringstore/ctl/complete"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/problem"
)

// Main runs s3ctl with the arguments after the program's name, and returns its exit code. When ctx ends, work in
// progress is canceled cleanly and the exit code is 130. Results are written to stdout and everything else to stderr. A
// stream that is an *os.File may be a terminal.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	f, closeAll := cli.NewFactory(term.Detect(stdin, stdout, stderr), os.Getenv, build())
	defer closeAll()
	return run(ctx, f, args)
}

func run(ctx context.Context, f *cli.Factory, args []string) int {
	if len(args) == 4 && args[0] == complete.BashRequest {
		answer := complete.Bash(args[1], args[2], args[3], func(words []string) string { return completions(ctx, f, words) })
		_, _ = io.WriteString(f.IO.Out, answer) // an error cannot be reported to the shell
		return int(fault.OK)
	}
	root := newRoot(f)
	root.SetArgs(args)
	root.SetIn(f.IO.In)
	root.SetOut(f.IO.Out)
	root.SetErr(f.IO.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return int(fault.OK)
	}
	err = classify(cmd, args, err)
	// Cobra stops parsing at the first invalid flag, and so may have missed --json.
	if fault.ExitOf(err) == fault.Usage {
		f.Global.JSON = f.Global.JSON || slices.Contains(args, "--json")
	}
	f.ShowError(cli.Name(cmd), err)
	return int(fault.ExitOf(err))
}

// completions returns cobra's answer to a completion request for the last of the words.
func completions(ctx context.Context, f *cli.Factory, words []string) string {
	var answer strings.Builder
	root := newRoot(f)
	root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, words...))
	root.SetOut(&answer)
	root.SetErr(io.Discard)
	if root.ExecuteContext(ctx) != nil {
		return "" // no completions
	}
	return answer.String()
}

// classify makes errors of cobra, recognized by not being a *fault.Error, errors of usage.
func classify(cmd *cobra.Command, args []string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fault.New(problem.Interrupted, "interrupted")
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		if fault.ExitOf(err) == fault.Usage && fault.NextOf(err) == "" { // from a flag's Set
			return cli.Usage(cmd, "%v", err)
		}
		return err
	}
	if word := firstWord(cmd, args); word != "" && !cmd.HasParent() {
		return cli.Unknown(cmd, word)
	}
	return cli.Usage(cmd, "%v", err)
}

// firstWord returns the first of args that is neither a flag of root nor the value of one. Cobra's error does not
// have the unknown word.
func firstWord(root *cobra.Command, args []string) string {
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.AddFlagSet(root.PersistentFlags())
	set.ParseErrorsAllowlist.UnknownFlags = true
	set.Usage = func() {} // otherwise --help would print the usage of this set
	if err := set.Parse(args); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return ""
	}
	return set.Arg(0)
}

func newRoot(f *cli.Factory) *cobra.Command {
	showVersion := false
	root := &cobra.Command{
		Use:   "s3ctl COMMAND",
		Short: "Store, fetch and look after files in Ringstore",
		Long: `s3ctl stores and fetches files in Ringstore.

Objects are written s3://BUCKET/KEY, "-" is a standard stream, everything else is a
local path. Results are written to standard output: tables on a terminal, tab-separated
lines in a pipe, and one JSON object a line with --json. Errors and progress are written
to standard error.`,
		SilenceErrors: true,
		SilenceUsage:  true,

		DisableSuggestions: true, // cli.Unknown adds them
		RunE: func(cmd *cobra.Command, args []string) error {
			if showVersion && len(args) == 0 {
				return cli.Classified(about.ShowVersion(f))
			}
			return cli.Help(cmd, args)
		},
	}
	root.Flags().BoolVar(&showVersion, "version", false, "show the version of s3ctl")
	flags := root.PersistentFlags()
	flags.StringVar(&f.Global.Profile, "profile", "", "server to use (environment: RINGSTORE_PROFILE); see s3ctl help profiles")
	flags.BoolVar(&f.Global.JSON, "json", false, "write results and errors as JSON, one object a line")
	flags.Var(cli.NewValue("STYLE", &f.Global.Progress, term.ParseProgressStyle, func(s term.ProgressStyle) string { return string(s) }), "progress",
		"how transfers show their progress: auto, bar, log, json or none")
	flags.Var(cli.NewValue("DURATION", &f.Global.Wait, cli.ParseWait, time.Duration.String), "wait",
		"how long to wait for a server that does not answer")
	flags.BoolVarP(&f.Global.Verbose, "verbose", "v", false, "show each request that is tried again")
	flags.BoolVarP(&f.Global.Quiet, "quiet", "q", false, "no progress, no notes, no lines for successes")
	group(root, "data", "Files and objects:",
		transfer.NewPut(f), transfer.NewGet(f), object.NewLs(f), object.NewRm(f),
		object.NewStat(f), transfer.NewCat(f), transfer.NewHead(f), transfer.NewTail(f), transfer.NewCp(f), transfer.NewMv(f),
		transfer.NewSync(f), object.NewDu(f), object.NewFind(f), object.NewTree(f),
		transfer.NewDiff(f), transfer.NewVerify(f))
	group(root, "sessions", "Unfinished uploads:", session.New(f))
	group(root, "buckets", "Buckets:", bucket.NewMb(f), bucket.NewRb(f), bucket.New(f))
	group(root, "setup", "Setting up:", profile.New(f), about.NewCompletion(f), about.NewMan(f), about.NewVersion(f))
	root.AddCommand(topics()...)
	root.SetHelpCommandGroupID("setup")
	root.SetUsageTemplate(usageTemplate)
	markExitCodes(root)
	complete.Attach(root, f)
	return root
}

// group adds commands that help lists under one title.
func group(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	root.AddCommand(commands...)
}

// usageTemplate is the help after the text of a command.
const usageTemplate = `Usage:
  {{if .HasParent}}{{.UseLine}}{{else}}{{.CommandPath}} COMMAND{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$all := .Commands}}{{range $group := .Groups}}

{{.Title}}{{range $all}}{{if and (eq .GroupID $group.ID) (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if not .AllChildCommandsHaveGroup}}

Commands:{{range $all}}{{if and (eq .GroupID "") .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasHelpSubCommands}}

Topics (s3ctl help TOPIC):{{range .Commands}}{{if .IsAdditionalHelpTopicCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{with index .Annotations "` + cli.ExitCodes + `"}}

Exit codes: {{.}} (s3ctl help exit-codes)
{{- end}}{{if .HasAvailableSubCommands}}

See {{.CommandPath}} COMMAND --help for more.{{end}}
`

// build returns the build information of the program.
func build() cli.Build {
	b := cli.Build{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, b.Version)
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}
