package ctl

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/complete"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/rest"
)

// offered runs the completion request of a shell for the last word, and returns the offers without descriptions and
// the directive for the shell.
func (r *rig) offered(words ...string) (values []string, directive cobra.ShellCompDirective) {
	r.t.Helper()
	lines := strings.Split(strings.TrimRight(r.ok(append([]string{"__complete"}, words...)...), "\n"), "\n")
	for _, line := range lines[:len(lines)-1] {
		value, _, _ := strings.Cut(line, "\t")
		values = append(values, value)
	}
	_, err := fmt.Sscanf(lines[len(lines)-1], ":%d", &directive)
	require.NoError(r.t, err, lines)
	return values, directive
}

func TestComplete_BucketsAndKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.AddBucket("empty")
	r.AddBucket("docs-2026")
	for _, key := range []string{"a file", "logs/1.gz", "logs/2.gz", "logs/deep/3.gz", "star*1", "star/x", `back\slash`, "new\nline", "esc\x1b[2J", "ends/in/a/slash/", "-dash"} {
		r.Add("default", key, "x")
	}
	const files, finished, goOn = cobra.ShellCompDirectiveDefault, cobra.ShellCompDirectiveNoFileComp, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	buckets := []string{"s3://default/", "s3://docs-2026/", "s3://empty/"}
	for _, tc := range []struct {
		line string
		want []string
		then cobra.ShellCompDirective
	}{
		{"ls ", buckets, goOn},
		{"ls s3", buckets, goOn},
		{"ls s3:/", buckets, goOn},
		{"ls s3://d", buckets[:2], goOn},
		{"ls s3://def", buckets[:1], goOn},
		{"ls s3://nope", nil, goOn},
		{"ls s3://nope/", nil, finished},
		{"ls S3://d", nil, goOn},
		{"ls d", nil, goOn},
		{"ls s3://default/l", []string{"s3://default/logs/"}, goOn},
		{"ls s3://default/logs/", []string{"s3://default/logs/1.gz", "s3://default/logs/2.gz", "s3://default/logs/deep/"}, goOn},
		{"cat s3://default/logs/1", []string{"s3://default/logs/1.gz"}, finished},
		{"stat s3://default/star", []string{`s3://default/star\*1`, "s3://default/star/"}, goOn},
		{`stat s3://default/star\`, nil, finished},
		{`stat s3://default/star\*`, []string{`s3://default/star\*1`}, finished},
		{"stat --raw s3://default/star", []string{"s3://default/star*1", "s3://default/star/"}, goOn},
		{"stat s3://default/l*/", nil, finished},
		{"rm s3://default/b", []string{`s3://default/back\\slash`}, finished},
		{"rm s3://default/new", nil, finished},
		{"rm s3://default/esc", nil, finished},
		{"rm s3://default/e", []string{"s3://default/ends/"}, goOn},
		{"cp s3://default/star", []string{`s3://default/star\*1`, "s3://default/star/"}, goOn},
		{"cp s3://default/a s3://default/star", []string{"s3://default/star/"}, goOn},
		{"mv s3://default/a s3://em", buckets[2:], goOn},
		{"put ", nil, files},
		{"put s3://d", nil, files},
		{"put a s3://d", buckets[:2], goOn},
		{"put a b", nil, files},
		{"put a s3://default/st", []string{"s3://default/star*1", "s3://default/star/"}, goOn},
		{"get ", buckets, goOn},
		{"get s3://default/a b", nil, files},
		{"get s3://default/a s3://default/l", []string{"s3://default/logs/"}, goOn},
		{"sync ", nil, files},
		{"sync s3://em", buckets[2:], goOn},
		{"diff a s3://em", buckets[2:], goOn},
		{"tree s3://em", buckets[2:], goOn},
		{"tree s3://empty s3://em", nil, finished},
		{"bucket rm s3://em", []string{"s3://empty"}, finished},
		{"bucket create ", nil, finished},
		{"session ls s3://em", buckets[2:], goOn},
	} {
		words := strings.Split(tc.line, " ")
		values, then := r.offered(words...)
		require.Equal(t, tc.want, values, tc.line)
		require.Equal(t, tc.then, then, tc.line)
	}
}

func TestComplete_WordsOfTheProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.profiles.Save("other", profile.Profile{Endpoint: "http://other:1", AccessKey: "k", Secret: "hidden"}))
	c := client.New(client.Config{Profile: r.Profile()})
	defer c.Close()
	s, err := c.CreateSession(t.Context(), rest.NewSession{Bucket: "default", Name: "big"})
	require.NoError(t, err)
	for line, want := range map[string][]string{
		"--profile ":               {"local", "other"},
		"profile use ":             {"local", "other"},
		"profile show o":           {"local", "other"}, // the shell filters
		"profile use x ":           nil,
		"profile ls ":              nil,
		"session abort ":           {s.SessionID},
		"session abort nope":       nil,
		"session abort --all s3:":  {"s3://default/"},
		"ls --progress ":           {"auto", "bar", "log", "json", "none"},
		"bucket create --survive ": {"0", "1", "2", "3"},
		"cat --range ":             nil,
		"completion ":              {"bash", "zsh", "fish"},
		"buck":                     {"bucket"},
		"help exit":                nil,
		"version ":                 nil,
	} {
		values, _ := r.offered(strings.Split(line, " ")...)
		if line == "help exit" {
			require.Contains(t, values, "exit-codes")
			require.Contains(t, values, "put")
			continue
		}
		require.Equal(t, want, values, line)
	}
	require.Contains(t, r.ok("__complete", "session", "abort", ""), "\ts3://default/big\n")
	require.NotContains(t, r.ok("__complete", "profile", "use", ""), "hidden")
	require.Contains(t, r.ok("__complete", "man", "bucket", ""), "create\tCreate buckets\n")
}

// The profile named on the command line is used.
func TestComplete_AsksTheServerOfTheLine(t *testing.T) {
	t.Parallel()
	r, other := newRig(t), resttest.New(t)
	other.AddBucket("elsewhere")
	require.NoError(t, r.profiles.Save("other", other.Profile()))
	values, _ := r.offered("--profile", "other", "ls", "s3://e")
	require.Equal(t, []string{"s3://elsewhere/"}, values)
	values, _ = r.offered("ls", "s3://e", "--profile", "other", "s3://e")
	require.Equal(t, []string{"s3://elsewhere/"}, values)
}

// After any failure nothing is offered or printed, so the line being edited is unchanged.
func TestComplete_IsSilentWhenItFails(t *testing.T) {
	t.Parallel()
	refuse := func(w http.ResponseWriter, _ *http.Request) bool {
		resttest.Refuse(w, http.StatusServiceUnavailable, rest.CodeUnavailable, "no", "")
		return true
	}
	nonsense := func(w http.ResponseWriter, _ *http.Request) bool {
		_, err := w.Write([]byte("<html>"))
		return err == nil
	}
	for name, misconfigure := range map[string]func(*rig){
		"refused":        func(r *rig) { r.SetHook(refuse) },
		"no gateway":     func(r *rig) { r.SetHook(nonsense) },
		"no server":      func(r *rig) { r.env[profile.EnvEndpoint] = "http://127.0.0.1:1" },
		"wrong key":      func(r *rig) { r.env[profile.EnvSecret] = "wrong" },
		"no profile":     func(r *rig) { r.env[profile.EnvProfile] = "nope" },
		"broken file":    func(r *rig) { require.NoError(r.t, os.WriteFile(string(r.profiles), []byte("{half"), 0o600)) },
		"wrong endpoint": func(r *rig) { r.env[profile.EnvEndpoint] = "nope" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			misconfigure(r)
			for _, line := range []string{"ls s3://", "ls s3://default/", "bucket rm ", "session abort ", "cp s3://default/a s3://d"} {
				values, _ := r.offered(strings.Split(line, " ")...)
				require.Empty(t, values, line)
				o := r.run(append([]string{"__complete"}, strings.Split(line, " ")...)...)
				require.Regexp(t, `^(Completion ended with directive: \w+(, \w+)*\n)?$`, o.err, "cobra's own, which the scripts throw away")
			}
		})
	}
}

// Completion waits two seconds for the server and then offers nothing.
func TestComplete_GivesUpOnASilentServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone := make(chan struct{})
	r.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		<-req.Context().Done()
		close(gone)
		return true
	})
	values, _ := r.offered("ls", "s3://")
	require.Empty(t, values)
	<-gone
}

// With more than a thousand names their common prefix is unknown, so the shell must not extend the word.
func TestComplete_OfManyNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 1001 {
		r.Add("default", fmt.Sprintf("logs/a%04d", i), "x")
	}
	r.Add("default", "logs/z", "x")
	values, then := r.offered("ls", "s3://default/logs/")
	require.Len(t, values, 1001)
	require.Contains(t, values, "s3://default/logs/")
	require.NotZero(t, then&cobra.ShellCompDirectiveNoSpace)
	values, _ = r.offered("ls", "s3://default/logs/a000")
	require.Len(t, values, 10)
	require.Equal(t, 3, r.Calls("GET /files"), "a page more tells that there is more")
}

// Every command that takes arguments defines their completion.
func TestComplete_KnowsAllCommands(t *testing.T) {
	t.Parallel()
	for name, cmd := range runnable(tree(t)) {
		require.True(t, complete.Knows(cmd), "s3ctl %s: say in complete.arguments what its arguments can be", name)
	}
	r := newRig(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := r.ok("completion", shell)
		require.Contains(t, script, "__complete")
		check, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), check, "-n") // syntax check only
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", shell, out)
	}
	require.Equal(t, 2, r.run("completion", "tcsh").code)
}
