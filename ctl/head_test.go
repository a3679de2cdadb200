package ctl

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
)

// head and tail write what those of the system would, whatever the sizes of lines and of what is fetched at once.
func TestHeadAndTail_AreThoseOfTheText(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a fixed sequence
	texts := []string{"", "\n", "one", "one\n", "a\nb", "a\nb\n", "\n\n\n", strings.Repeat("x", 200_000), strings.Repeat("line\n", 50_000)}
	for range 10 {
		var b strings.Builder
		for range random.IntN(40) {
			b.WriteString(strings.Repeat("y", random.IntN(30_000)) + "\n")
		}
		texts = append(texts, b.String(), b.String()+"no newline at the end")
	}
	for i, text := range texts {
		r.Add("default", fmt.Sprint("t", i), text)
		at := fmt.Sprint("s3://default/t", i)
		lines := strings.SplitAfter(text, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		for _, n := range []int{0, 1, 2, 10, 1000, 100_000} {
			k, flag := min(n, len(lines)), fmt.Sprint("-n", n)
			require.True(t, r.ok("head", flag, at) == strings.Join(lines[:k], ""), "head -n %d of text %d", n, i)
			require.True(t, r.ok("tail", flag, at) == strings.Join(lines[len(lines)-k:], ""), "tail -n %d of text %d", n, i)
			k = min(n, len(text))
			require.True(t, r.ok("head", "-c", fmt.Sprint(n), at) == text[:k], "head -c %d of text %d", n, i)
			require.True(t, r.ok("tail", "-c", fmt.Sprint(n), at) == text[len(text)-k:], "tail -c %d of text %d", n, i)
		}
	}
	r.Add("default", "a", "1\n2\n")
	r.Add("default", "b", "3\n4\n")
	require.Equal(t, "==> s3://default/a <==\n2\n\n==> s3://default/b <==\n4\n", r.ok("tail", "-n1", "s3://default/a", "s3://default/b"))
	require.Equal(t, "1\n3\n", r.ok("head", "-q", "-n1", "s3://default/a", "s3://default/b"))
	require.Equal(t, int(fault.Partial), r.run("head", "s3://default/a", "s3://default/absent").code)
	require.Equal(t, int(fault.Usage), r.run("head", "-n", "-1", "s3://default/a").code)
}

// Words of other tools lead to the command that does it here.
func TestUnknownCommand_NamesTheOneThatIsMeant(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for word, want := range map[string]string{"ptu": "put", "delete": "rm", "upload": "put", "config": "profile", "sinc": "sync", "lsit": "ls"} {
		o := r.run(word, "s3://b")
		require.Equal(t, int(fault.Usage), o.code)
		require.Contains(t, o.err, "did you mean: s3ctl "+want, word)
	}
	require.NotContains(t, r.run("xylophone").err, "did you mean")
}
