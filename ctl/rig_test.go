package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/profile"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // tables on a terminal show local times
	goleak.VerifyTestMain(m)
}

// rig runs command lines against an in-memory gateway, in a temporary folder.
type rig struct {
	*resttest.Server
	t        *testing.T
	dir      string
	profiles profile.File
	env      map[string]string

	stdin string
	tty   bool // all three streams are terminals
}

// outcome is the output and the exit code of a command line.
type outcome struct {
	code     int
	out, err string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s := resttest.New(t)
	r := &rig{Server: s, t: t, dir: t.TempDir(), profiles: profile.File(filepath.Join(t.TempDir(), "profiles.json")), env: map[string]string{}}
	require.NoError(t, r.profiles.Save(profile.Local, s.Profile()))
	return r
}

func (r *rig) run(args ...string) outcome { return r.runContext(r.t.Context(), args...) }

// runContext runs a command line. DIR and URL in arguments are replaced by the rig's folder and server, and the other way
// round in the output.
func (r *rig) runContext(ctx context.Context, args ...string) outcome {
	r.t.Helper()
	var out, errs bytes.Buffer
	streams := &term.Streams{In: strings.NewReader(r.stdin), Out: &out, Err: &errs, InTTY: r.tty, OutTTY: r.tty, ErrTTY: r.tty}
	f, closeAll := cli.NewFactory(streams, func(name string) string { return r.env[name] }, cli.Build{
		Version: "v1.2.3", Commit: "0123456789abcdef0123456789abcdef01234567", Modified: true, Go: "go1.26.0", Platform: "linux/amd64",
	})
	defer closeAll()
	f.Profiles = func() (profile.File, error) { return r.profiles, nil }
	f.Retry = func() retry.Policy { return retry.Policy{Wait: time.Minute, Tries: 2, Initial: 1, Max: 1} }
	lines := make([]string, len(args))
	for i, a := range args {
		lines[i] = strings.ReplaceAll(strings.ReplaceAll(a, "DIR", r.dir), "URL", r.URL)
	}
	code := run(ctx, f, lines)
	requireDeclared(r.t, lines, code)
	requireNextSteps(r.t, errs.String())
	hide := strings.NewReplacer(r.dir, "DIR", r.URL, "URL", string(r.profiles), "PROFILES")
	return outcome{code: code, out: hide.Replace(out.String()), err: took.ReplaceAllString(hide.Replace(errs.String()), " in TIME")}
}

// took is the end of a summary.
var took = regexp.MustCompile(` in [0-9hms]+( \([0-9.]+ [KMG]?i?B/s\))?`)

// ok runs a command line that must succeed, and returns its standard output.
func (r *rig) ok(args ...string) string {
	r.t.Helper()
	o := r.run(args...)
	require.Zero(r.t, o.code, "%v: %s%s", args, o.out, o.err)
	return o.out
}

func (r *rig) write(name, data string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	require.NoError(r.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(r.t, os.WriteFile(path, []byte(data), 0o600))
}

func (r *rig) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	require.NoError(r.t, err)
	return string(data)
}

// local lists the files of the rig's folder.
func (r *rig) local() []string {
	r.t.Helper()
	var names []string
	require.NoError(r.t, filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(r.dir, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	}))
	return names
}

// requireDeclared checks that a command's help lists the exit code.
func requireDeclared(t *testing.T, args []string, code int) {
	t.Helper()
	f, closeAll := cli.NewFactory(&term.Streams{}, os.Getenv, cli.Build{})
	defer closeAll()
	cmd, _, err := newRoot(f).Find(args)
	if err == nil && cmd.Annotations[cli.ExitCodes] != "" {
		require.Contains(t, endingsOf(cmd), fault.Exit(code), "%v ended with a code that is not in its help: see endings", args)
	}
}

// requireNextSteps requires a next step after each error, except after differences found by diff and after an
// interruption, which are not failures.
func requireNextSteps(t *testing.T, errs string) {
	t.Helper()
	lines := strings.Split(bars.ReplaceAllString(errs, ""), "\n")
	for i, line := range lines {
		var told struct {
			Error struct {
				Code, Hint string
				Said       string `json:"server_hint"`
			}
		}
		switch {
		case strings.Contains(line, "interrupted"), strings.Contains(line, "nothing was"), strings.Contains(line, "not the same"):
		case json.Unmarshal([]byte(line), &told) == nil && told.Error.Code != "":
			require.NotEmpty(t, told.Error.Hint+told.Error.Said, "an error without a next step: %s", line)
		case strings.HasPrefix(line, "s3ctl: ") && !isNote(line):
			require.True(t, i+1 < len(lines) && (strings.HasPrefix(lines[i+1], "next: ") || strings.HasPrefix(lines[i+1], "server says: ")),
				"an error without a next step: %s", line)
		}
	}
}

// isNote reports whether a line on standard error is a note and not an error.
func isNote(line string) bool {
	for _, text := range []string{"trying again", " in 0s", " in 1s", "s3ctl: back after", "skipped:", "all equal", "others can read", " changed (", " change (", " good, "} {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}
