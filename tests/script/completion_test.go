//go:build linux

package script_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shells are started without user settings, load the script that s3ctl writes, and then print "ready". The typed commands
// contain that word in two pieces, because a terminal echoes what is typed.
var shells = map[string]struct {
	args []string
	load string
}{
	"bash": {[]string{"--norc", "--noprofile", "-i"}, `source <(s3ctl completion bash); PS1='rea''dy> '`},
	"zsh":  {[]string{"-f", "-i"}, `autoload -Uz compinit; compinit -u -D; source <(s3ctl completion zsh); PS1='rea''dy> '`},
	"fish": {[]string{"--no-config", "-i"}, `s3ctl completion fish | source; function fish_prompt; echo 'rea''dy> '; end`},
}

var ready = regexp.MustCompile(`ready> `)

// openShell starts a shell with completion of s3ctl.
func (s *session) openShell(name string) *terminal {
	s.t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(s.t, err, "scripts/setup installs the shells that the tests need")
	shell := shells[name]
	cmd := exec.CommandContext(s.t.Context(), path, shell.args...)
	cmd.Dir = s.dir
	cmd.Env = slices.Concat(s.command(s.t.Context()).Env, []string{
		"PATH=" + filepath.Dir(s3ctl) + string(os.PathListSeparator) + os.Getenv("PATH"), "TERM=xterm", "LC_ALL=C.UTF-8",
	})
	t := startTerminal(s.t, cmd)
	t.press(shell.load + "\n")
	t.wait(ready)
	return t
}

// store stores bytes under a key of the session's bucket.
func (s *session) store(key, data string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.path(".stored"), []byte(data), 0o600))
	require.NoError(s.t, s.run(0, "put", "-q", ".stored", "s3://"+s.bucket+"/"+key), string(s.stderr))
	require.NoError(s.t, os.Remove(s.path(".stored")))
}

// hostile are suffixes of keys with characters that a shell interprets.
var hostile = []string{
	"$(touch RAN)", "`touch RAN`", ";touch RAN;", "&touch RAN&", "|touch RAN|", ">RAN", "<(touch RAN)", "$((RAN))", "${IFS}x", "(touch RAN)", "{a,b}",
	"with blanks", "two  blanks", "it's", `say "hi"`, `'";touch RAN;"'`, `back\slash`, `end\`, "st*r?[x]", "~", "#hash", "!!", "a!b!", "^a^b", "%f", "$HOME",
	"a=b:c", "ümläut", "-dash", "@at,comma+",
}

// For every key and every kind of quotes, completion inserts exactly that key and runs nothing.
func TestCompletion_OfHostileKeys(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for i, end := range hostile {
		for _, key := range []string{fmt.Sprintf("one/%02d-%s", i, end), fmt.Sprintf("two/%02d-%sA", i, end), fmt.Sprintf("two/%02d-%sB", i, end)} {
			s.store(key, "content of "+strings.ReplaceAll(key[:6], "/", "-")+key[len(key)-1:]+"\n")
		}
	}
	for name := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := *s
			own.t, own.dir = t, t.TempDir()
			shell := own.openShell(name)
			for i, end := range hostile {
				for _, quote := range []string{"", `"`, "'"} {
					shell.press(fmt.Sprintf("s3ctl cat %ss3://%s/one/%02d\t\n", quote, s.bucket, i))
					shell.wait(regexp.MustCompile(regexp.QuoteMeta(fmt.Sprintf("content of one-%02d%s", i, end[len(end)-1:]))))
					shell.wait(ready)
				}
				// With several matches the common prefix is inserted; then one or none is chosen.
				shell.press(fmt.Sprintf("s3ctl cat s3://%s/two/%02d\tB\t\n", s.bucket, i))
				shell.wait(regexp.MustCompile(fmt.Sprintf("content of two-%02dB", i)))
				shell.wait(ready)
				shell.press(fmt.Sprintf("s3ctl cat s3://%s/two/%02d\t\t\t\x15echo st''ill-%02d\n", s.bucket, i, i))
				shell.wait(regexp.MustCompile(fmt.Sprintf("still-%02d", i)))
				shell.wait(ready)
			}
			left, err := os.ReadDir(own.dir)
			require.NoError(t, err)
			require.Empty(t, left, "what a key is called was run")
		})
	}
}

// A real shell runs the script that s3ctl writes, against a real server. Tabs stand for the Tab key.
func TestCompletion_InShells(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	require.NoError(t, os.WriteFile(s.path("local file"), []byte("x"), 0o600))
	for _, key := range []string{"photos/one.jpg", "photos/two.jpg", "photos/sub/3.jpg", "plan one.txt", "notes=a:b"} {
		s.store(key, "it is "+key+"\n")
	}
	for name := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := *s
			own.t = t
			shell := own.openShell(name)
			for _, tc := range []struct{ keys, want string }{
				{"s3ctl buck\tls\n", "s3://" + s.bucket},
				{"s3ctl cat s3://$/ph\ton\t\n", "it is photos/one.jpg"},
				{"s3ctl   cat  --range 0-  s3://$/photos/t\t\n", "it is photos/two.jpg"},
				{"s3ctl cat s3://$/photos/s\t3\t\n", "it is photos/sub/3.jpg"},
				{"s3ctl cat s3://$/pl\t\n", "it is plan one.txt"},
				{`s3ctl cat s3://$/plan\ ` + "\t\n", "it is plan one.txt"},
				{"s3ctl cat s3://$/n\t\n", "it is notes=a:b"},
				{"s3ctl cat s3://$/notes=a:\t\n", "it is notes=a:b"},
				{"s3ctl --progress=js\tcat s3://$/n\t\n", "it is notes=a:b"},
				{"s3ctl put loc\ts3://$/photos/su\tsent-" + name + "\n", "photos/sub/sent-" + name + "  1 B"},
				{"s3ctl ls s3://no-such-bucket/\t\n", "not_found|no such bucket|s3ctl: ls"},
			} {
				shell.press(strings.ReplaceAll(tc.keys, "$", s.bucket))
				shell.wait(regexp.MustCompile(tc.want))
				shell.wait(ready)
			}
		})
	}
}
