package ctl

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/profile"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // tables for people show local times
	goleak.VerifyTestMain(m)
}

// rig runs command lines against a gateway in memory, in a folder of their own.
type rig struct {
	*resttest.Server
	t        *testing.T
	dir      string
	profiles profile.File
	env      map[string]string

	stdin string
	tty   bool // all three streams are a terminal
}

// outcome is what a command line left.
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

// runContext runs a command line; DIR in arguments is the rig's folder, and is DIR in what is shown.
func (r *rig) runContext(ctx context.Context, args ...string) outcome {
	r.t.Helper()
	var out, errs bytes.Buffer
	streams := &term.Streams{In: strings.NewReader(r.stdin), Out: &out, Err: &errs, InTTY: r.tty, OutTTY: r.tty, ErrTTY: r.tty}
	f, closeAll := cli.NewFactory(streams, func(name string) string { return r.env[name] }, cli.Build{Version: "test"})
	defer closeAll()
	f.Profiles = func() (profile.File, error) { return r.profiles, nil }
	f.Retry = func() transfer.Retry { return transfer.Retry{Tries: 2, Initial: 1, Max: 1} }
	lines := make([]string, len(args))
	for i, a := range args {
		lines[i] = strings.ReplaceAll(a, "DIR", r.dir)
	}
	code := run(ctx, f, lines)
	hide := strings.NewReplacer(r.dir, "DIR", r.URL, "URL")
	return outcome{code: code, out: hide.Replace(out.String()), err: hide.Replace(errs.String())}
}

// ok runs a command line that must succeed, and returns its results.
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
