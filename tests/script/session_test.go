package script_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// runLimit ends a run that hangs.
const runLimit = 2 * time.Minute

// server is shared by all sessions; each has its own bucket.
var server *cluster.Cluster

var s3ctl string

func TestMain(m *testing.M) {
	code, err := withServer(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withServer(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "ringstore-script-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bin")
	if err := cluster.Build(context.Background(), bin); err != nil {
		return 1, err
	}
	s3ctl = filepath.Join(bin, "s3ctl")
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err = cluster.Start(ctx, cluster.Options{Dir: run, Bin: bin, Standalone: true})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return m.Run(), nil
}

func TestSessions(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.session"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".session")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			s := newSession(t)
			for n, line := range s.unpack(string(text)) {
				if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
					continue
				}
				if err := s.step(words(s.expand(line))); err != nil {
					t.Fatalf("%s:%d: %s\n%v\n-- stdout --\n%s-- stderr --\n%s", path, n+1, line, err, clip(s.stdout), clip(s.stderr))
				}
			}
		})
	}
}

// session is one run of a file.
type session struct {
	t      *testing.T
	dir    string
	bucket string
	env    map[string]string

	input          string // path, for the next run
	stdout, stderr []byte
}

// sessions numbers the sessions, also over repeated runs against one server.
var sessions atomic.Int64

func newSession(t *testing.T) *session {
	t.Helper()
	bucket := fmt.Sprintf("session-%d", sessions.Add(1))
	s := &session{t: t, dir: t.TempDir(), bucket: bucket, env: map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "XDG_CONFIG_HOME": t.TempDir(),
		"RINGSTORE_ENDPOINT": server.URL, "RINGSTORE_ACCESS_KEY": server.AccessKey, "RINGSTORE_SECRET_KEY": server.SecretKey,
	}}
	require.NoError(t, s.run(0, "bucket", "create", "s3://"+bucket), string(s.stderr))
	return s
}

// unpack writes the files of a session and returns the lines before them.
func (s *session) unpack(text string) []string {
	lines := strings.Split(text, "\n")
	var script []string
	var name string
	var data strings.Builder
	flush := func() {
		if name != "" {
			path := s.path(name)
			require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(s.t, os.WriteFile(path, []byte(s.expand(data.String())), 0o600))
		}
		data.Reset()
	}
	for i, line := range lines {
		if after, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(after, " --") {
			flush()
			name = strings.TrimSuffix(after, " --")
			continue
		}
		switch {
		case name == "":
			script = append(script, line)
		case i < len(lines)-1: // the text after the last newline is not a line
			data.WriteString(line + "\n")
		}
	}
	flush()
	return script
}

func (s *session) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir, name)
}

func (s *session) expand(line string) string {
	return strings.NewReplacer("$BUCKET", s.bucket, "$DIR", s.dir, "$URL", server.URL,
		"$KEY", server.AccessKey, "$SECRET", server.SecretKey, "$NL", "\n", "$TAB", "\t", "$ESC", "\x1b").Replace(line)
}

// words splits a line at spaces outside of single quotes.
func words(line string) []string {
	var out []string
	var b strings.Builder
	quoted, inWord := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, inWord = !quoted, true
		case r == ' ' && !quoted:
			if inWord {
				out = append(out, b.String())
			}
			b.Reset()
			inWord = false
		default:
			b.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		out = append(out, b.String())
	}
	return out
}

// step runs one line.
func (s *session) step(w []string) error {
	not := w[0] == "!"
	if not {
		w = w[1:]
	}
	verb, args := w[0], w[1:]
	switch verb {
	case "s3ctl":
		return s.run(0, args...)
	case "exit":
		code, err := strconv.Atoi(args[0])
		if err != nil || args[1] != "s3ctl" {
			return errors.New("exit wants a number and s3ctl")
		}
		return s.run(code, args[2:]...)
	case "stdout", "stderr":
		return s.contains(verb, strings.Join(args, " "), not)
	case "exists":
		_, err := os.Lstat(s.path(args[0]))
		if (err == nil) == not {
			return fmt.Errorf("exists: %v", err == nil)
		}
		return nil
	}
	if not {
		return fmt.Errorf("%s cannot be denied", verb)
	}
	return s.more(verb, args)
}

func (s *session) contains(stream, text string, not bool) error {
	if bytes.Contains(s.stream(stream), []byte(text)) == not {
		return fmt.Errorf("%s has %q: %v", stream, text, not)
	}
	return nil
}

func (s *session) stream(name string) []byte {
	if name == "stderr" {
		return s.stderr
	}
	return s.stdout
}

// more are the commands that cannot be negated.
func (s *session) more(verb string, args []string) error {
	switch verb {
	case "<":
		s.input = s.path(args[0])
	case "stdout-is":
		return equal(s.stdout, s.path(args[0]))
	case "empty":
		if len(s.stream(args[0])) > 0 {
			return fmt.Errorf("%s is not empty", args[0])
		}
	case "same":
		data, err := os.ReadFile(s.path(args[0]))
		if err != nil {
			return err
		}
		return equal(data, s.path(args[1]))
	case "tree":
		return s.tree(args[0], args[1:])
	case "random":
		return s.random(args[0], args[1])
	case "mkdir":
		return os.MkdirAll(s.path(args[0]), 0o700)
	case "rm":
		return os.RemoveAll(s.path(args[0]))
	case "link":
		return os.Symlink(args[0], s.path(args[1]))
	case "set":
		s.env[args[0]] = args[1]
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
	return nil
}

func equal(got []byte, path string) error {
	want, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes differ from the %d of %s", len(got), len(want), path)
	}
	return nil
}

func (s *session) tree(dir string, want []string) error {
	var got []string
	root := s.path(dir)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, path)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	slices.Sort(want)
	slices.Sort(got)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("%s has %q, not %q", dir, got, want)
	}
	return err
}

func (s *session) random(name, size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	f, err := os.Create(s.path(name))
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", name)[:32]))), n)
	return errors.Join(err, f.Close())
}

// run runs s3ctl and requires the exit code.
func (s *session) run(code int, args ...string) error {
	cmd := s.command(s.t.Context(), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if s.input != "" {
		f, err := os.Open(s.input)
		if err != nil {
			return err
		}
		defer f.Close()
		cmd.Stdin, s.input = f, ""
	}
	timer := time.AfterFunc(runLimit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	s.stdout, s.stderr = out.Bytes(), errs.Bytes()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok || err == nil {
		got := 0
		if ok {
			got = exit.ExitCode()
		}
		if got != code {
			return fmt.Errorf("ended with %d, not %d", got, code)
		}
		return nil
	}
	return err
}

func (s *session) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s3ctl, args...)
	cmd.Dir = s.dir
	for _, name := range slices.Sorted(maps.Keys(s.env)) {
		cmd.Env = append(cmd.Env, name+"="+s.env[name])
	}
	return cmd
}

func clip(b []byte) string { return string(b[:min(len(b), 4000)]) }
