package ctl

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/manual"
)

// docs/s3ctl.md equals the manual generated from the commands.
func TestManual_IsThatOfTheCommands(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "docs", "s3ctl.md")
	got := newRig(t).ok("man", "--markdown")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "docs/s3ctl.md is not what the commands say; run: scripts/generate docs")
}

// Every command and flag is in the manual with a description, and the help of each command lists its exit codes.
func TestManual_LacksNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	doc := r.ok("man", "--markdown")
	for _, cmd := range runnable(tree(t)) {
		require.Contains(t, doc, "\n## "+cmd.CommandPath()+"\n")
		require.NotEmpty(t, cmd.Short)
		require.NotEmpty(t, cmd.Annotations[cli.ExitCodes])
		require.Contains(t, endings, cmd.CommandPath(), "say in endings which exit codes it has")
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			require.NotEmpty(t, f.Usage, "--%s of %s", f.Name, cmd.CommandPath())
			require.True(t, f.Hidden || f.Name == "help" || strings.Contains(doc, "--"+f.Name), "--%s of %s", f.Name, cmd.CommandPath())
		})
		words := strings.Fields(cmd.CommandPath())[1:]
		help := r.ok(append(words, "--help")...)
		require.Contains(t, help, "\nExit codes: 0 ok, 1 internal, 2 usage")
		require.Equal(t, help, r.ok(append([]string{"help"}, words...)...))
	}
	for path := range endings {
		require.Contains(t, doc, "\n## "+path+"\n", "endings has a command that is not there")
	}
}

// Help lists every command in a group, and the topics.
func TestHelp_Groups(t *testing.T) {
	t.Parallel()
	root := tree(t)
	require.True(t, root.AllChildCommandsHaveGroup() || slices.ContainsFunc(root.Commands(), (*cobra.Command).IsAdditionalHelpTopicCommand))
	for _, cmd := range root.Commands() {
		require.Equal(t, !cmd.IsAdditionalHelpTopicCommand(), cmd.GroupID != "", "%s has no group: see newRoot", cmd.Name())
	}
	r := newRig(t)
	help := r.ok("--help")
	for _, text := range []string{"Files and objects:\n", "Unfinished uploads:\n", "Buckets:\n", "Setting up:\n", "Topics (s3ctl help TOPIC):\n", "  addresses "} {
		require.Contains(t, help, text)
	}
	require.NotContains(t, help, "\nCommands:\n")
	for _, topic := range []string{"addresses", "environment", "exit-codes", "profiles", "scripting"} {
		require.NotEmpty(t, r.ok("help", topic))
	}
}

// The help topic lists each environment variable that the code reads.
func TestHelp_Environment(t *testing.T) {
	t.Parallel()
	variable := regexp.MustCompile(`"((?:RINGSTORE|XDG|S3CTL)_[A-Z_]+)"`)
	text := newRig(t).ok("help", "environment")
	found := 0
	for _, folder := range []string{".", "../profile"} {
		require.NoError(t, filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := os.ReadFile(path)
			for _, match := range variable.FindAllStringSubmatch(string(data), -1) {
				found++
				require.Contains(t, text, match[1], "%s reads it", path)
			}
			return err
		}))
	}
	require.GreaterOrEqual(t, found, 6)
}

// A page reproduces the texts of the commands exactly; troff interprets none of their characters.
func TestMan_PagesAreSound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ok("man", "--dir", "DIR", "-q")
	paths, err := filepath.Glob(filepath.Join(r.dir, "man[17]", "s3ctl*.[17]"))
	require.NoError(t, err)
	require.Len(t, paths, len(manual.Pages(tree(t))))
	require.Len(t, r.local(), len(paths), "nothing else is left there")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(data)) {
			known := regexp.MustCompile(`^(\.(TH|SH|PP|TP|B|BR|nf|fi)\b|[^.'])`).MatchString(line)
			require.True(t, known, "%s: %q", path, line)
		}
		troff(t, path)
	}
}

// groff formats every page without a warning, if it is installed.
func troff(t *testing.T, path string) {
	t.Helper()
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), groff, "-man", "-Kutf8", "-Tutf8", "-P-c", "-ww", path)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), errs.String())
	require.Empty(t, errs.String())
	if strings.HasSuffix(path, "s3ctl-addresses.7") {
		require.Contains(t, out.String(), `s3ctl stat 's3://docs/What now\?'`)
	}
	if strings.HasSuffix(path, "s3ctl-put.1") {
		require.Contains(t, out.String(), "s3ctl put *.jpg s3://photos/bergen/")
	}
}

func TestMan_OfOneCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	page := r.ok("man", "bucket", "create")
	require.Contains(t, page, `.TH "S3CTL\-BUCKET\-CREATE" 1`)
	require.Contains(t, page, ".BR s3ctl\\-bucket (1)\n")
	require.Contains(t, r.ok("man"), ".BR s3ctl\\-addresses (7),\n")
	require.Contains(t, r.ok("man", "exit-codes"), "\n| \\-\\-\\-: |")
	require.Equal(t, 3, r.run("man", "nonsense").code)
	require.Equal(t, 2, r.run("man", "--dir", "DIR", "put").code)
	r.write("file", "")
	require.Equal(t, 5, r.run("man", "--dir", "DIR/file").code)
}
