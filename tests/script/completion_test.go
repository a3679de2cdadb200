package script_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// onTab has bash complete a line: it parts the line into words as Readline does, calls the function
// that the script registered, and prints what would be offered, a line each.
const onTab = `
complete() { function=${*: -2:1}; }
source "$SCRIPT"
COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_TYPE=9 COMP_WORDBREAKS=$' \t\n"\'><=;|&(:' COMP_WORDS=("${@}") COMP_CWORD=$(($# - 1))
compopt() { :; }
"$function" s3ctl
printf '%s\n' "${COMPREPLY[@]}"
`

// A real bash runs the script that s3ctl writes, without the bash-completion package, against a real server.
func TestCompletion_InBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash here")
	}
	s := newSession(t)
	require.NoError(t, os.WriteFile(s.path("x"), []byte("x"), 0o600))
	for _, key := range []string{"photos/one.jpg", "photos/two.jpg", "photos/sub/3.jpg", "plan one.txt", "notes=a:b"} {
		require.NoError(t, s.run(0, "put", "-q", "x", "s3://"+s.bucket+"/"+key), string(s.stderr))
	}
	require.NoError(t, s.run(0, "completion", "bash"))
	require.NoError(t, os.WriteFile(s.path("script"), s.stdout, 0o600))
	for _, tc := range []struct {
		words []string // as Readline parts them: at ":" and "=" too
		line  string
		want  []string // without what stands up to the last ":" or "=": Readline keeps that
	}{
		{words: []string{"s3ctl", "buck"}, line: "s3ctl buck", want: []string{"bucket"}},
		{words: []string{"s3ctl", "ls", "s3", ":", "//" + s.bucket}, line: "s3ctl ls s3://" + s.bucket, want: []string{"//" + s.bucket + "/"}},
		{words: []string{"s3ctl", "ls", "s3", ":", "//$/ph"}, line: "s3ctl ls s3://$/ph", want: []string{"//$/photos/"}},
		{words: []string{"s3ctl", "ls", "s3", ":", "//$/photos/t"}, line: "s3ctl   ls s3://$/photos/t", want: []string{"//$/photos/two.jpg"}},
		{words: []string{"s3ctl", "get", "s3", ":", "//$/pl"}, line: "s3ctl get s3://$/pl", want: []string{`//$/plan\ one.txt`}},
		{words: []string{"s3ctl", "get", "s3", ":", "//$/n"}, line: "s3ctl get s3://$/n", want: []string{"//$/notes=a:b"}},
		{words: []string{"s3ctl", "put", "x", "s3", ":", "//$/photos/s"}, line: "s3ctl put x s3://$/photos/s", want: []string{"//$/photos/sub/"}},
		{words: []string{"s3ctl", "--progress", "=", "js"}, line: "s3ctl --progress=js", want: []string{"json"}},
		{words: []string{"s3ctl", "ls", "s3", ":", "//no-such-bucket/"}, line: "s3ctl ls s3://no-such-bucket/", want: []string{""}},
	} {
		cmd := exec.CommandContext(t.Context(), bash, append([]string{"--norc", "--noprofile", "-c", onTab, "bash"}, s.fill(tc.words)...)...)
		cmd.Dir = s.dir
		path := "PATH=" + filepath.Dir(s3ctl) + string(os.PathListSeparator) + os.Getenv("PATH")
		cmd.Env = slices.Concat(s.command(t.Context()).Env, []string{path, "SCRIPT=" + s.path("script"), "LINE=" + s.fill([]string{tc.line})[0]})
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		require.NoError(t, err, "%s: %s", tc.line, errs.String())
		require.Empty(t, errs.String(), tc.line)
		require.Equal(t, strings.Join(s.fill(tc.want), "\n")+"\n", string(out), tc.line)
	}
}

// fill puts the session's bucket in place of "$".
func (s *session) fill(words []string) []string {
	filled := make([]string, len(words))
	for i, w := range words {
		filled[i] = strings.ReplaceAll(w, "$", s.bucket)
	}
	return filled
}
