package address_test

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]address.Remote{
		"s3://bucket":          {Bucket: "bucket"},
		"s3://bucket/":         {Bucket: "bucket"},
		"s3://bucket/key":      {Bucket: "bucket", Key: "key"},
		"s3://bucket/a/b/":     {Bucket: "bucket", Key: "a/b/"},
		"s3://bucket//a":       {Bucket: "bucket", Key: "/a"},
		"s3://bucket/../x":     {Bucket: "bucket", Key: "../x"},
		"s3://bucket/a b?c=%2": {Bucket: "bucket", Key: "a b?c=%2"},
		"s3://bucket/ä":        {Bucket: "bucket", Key: "ä"},
	} {
		got, err := address.Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{
		"", "s3://", "s3:///key", "s3:/bucket/key", "S3://bucket/key", "bucket/key", "s3://ab/k", "s3://Bucket/k", "s3://-bucket/k", "s3://a..b/k",
		"s3://bucket/\x00", "s3://bucket/\xff", "s3://bucket/" + strings.Repeat("k", 1025), "s3://" + strings.Repeat("b", 64),
	} {
		_, err := address.Parse(in)
		require.Equal(t, fault.Invalid, fault.ExitOf(err), "%q: %v", in, err)
	}
	require.Error(t, address.CheckKey(""))
}

func TestKinds(t *testing.T) {
	t.Parallel()
	require.True(t, address.IsRemote("s3://b/k"))
	require.True(t, address.IsRemote("S3:/b"), "a slip is not taken for a local file")
	require.False(t, address.IsRemote("./s3://b"))
	require.False(t, address.IsRemote("s3"))
	require.True(t, address.IsStream("-"))
	require.False(t, address.IsStream("./-"))
}

func TestRemote_Parts(t *testing.T) {
	t.Parallel()
	require.Equal(t, "", address.Remote{Bucket: "b"}.Folder())
	require.Equal(t, "a/", address.Remote{Bucket: "b", Key: "a"}.Folder())
	require.Equal(t, "a/", address.Remote{Bucket: "b", Key: "a/"}.Folder())
	require.Equal(t, "c", address.Base("a/b/c"))
	require.Equal(t, "", address.Base("a/b/"))
	require.Equal(t, "a/b/", address.Parent("a/b/c"))
	require.Equal(t, "", address.Parent("c"))
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"s3://bucket/key", "s3://bucket//a/../b", "s3://abc/", "-", "s3://a.b/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := address.Parse(s)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.ExitOf(err))
			return
		}
		again, err := address.Parse(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
		require.True(t, strings.HasPrefix(s, r.String()), "nothing of the key is changed")
	})
}

func TestPattern_Match(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, key string
		want         bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"", "", true},
		{"*", "", true},
		{"*", "abc", true},
		{"*", "a/b", false},
		{"**", "a/b", true},
		{"a/**", "a/", true},
		{"a/**", "a/b/c", true},
		{"a/*", "a/b/c", false},
		{"*.txt", "x.txt", true},
		{"*.txt", "d/x.txt", false},
		{"**.txt", "d/x.txt", true},
		{"a?c", "abc", true},
		{"a?c", "a/c", false},
		{"?", "ä", true},
		{"[a-c]x", "bx", true},
		{"[a-c]x", "dx", false},
		{"[!a-c]x", "dx", true},
		{"[^a]", "/", false},
		{"[]]", "]", true},
		{"[a-]", "-", true},
		{"[\\]]", "]", true},
		{"[+--]", ",", true},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{"../*", "../x", true},
		{"a//*", "a//b", true},
		{strings.Repeat("*a", 200) + "b", strings.Repeat("a", 1000), false}, // would take exponential time with backtracking
	} {
		p, err := address.Compile(tc.pattern)
		require.NoError(t, err, tc.pattern)
		require.Equal(t, tc.want, p.Match(tc.key), "%q against %q", tc.pattern, tc.key)
	}
	for _, bad := range []string{"[", "[a", "[a-", `a\`, `[\`, `[a-\`, "[!"} {
		_, err := address.Compile(bad)
		require.Equal(t, fault.Invalid, fault.ExitOf(err), bad)
		require.Contains(t, fault.HintOf(err), "--raw")
	}
}

func TestPattern_WhatListingNeeds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, prefix string
		wild, flat      bool
	}{
		{"a/b", "a/b", false, true},
		{`a\*b`, "a*b", false, true},
		{"logs/2026*.gz", "logs/2026", true, true},
		{"logs/*/x", "logs/", true, false},
		{"logs/**", "logs/", true, false},
		{"[ab]", "", true, true},
	} {
		p, err := address.Compile(tc.pattern)
		require.NoError(t, err)
		require.Equal(t, tc.prefix, p.Prefix())
		require.Equal(t, tc.wild, p.HasWildcards(), tc.pattern)
		require.Equal(t, tc.flat, p.Flat(), tc.pattern)
		require.Equal(t, tc.pattern, p.String())
	}
	p, err := address.Compile("2*")
	require.NoError(t, err)
	require.True(t, p.Deep().Match("2026/a/b"))
	require.False(t, p.Deep().Match("2026"))
	p, err = address.Compile("2*/")
	require.NoError(t, err)
	require.True(t, p.Deep().Match("2026/a"))
}

// naive matches by trying every possibility. known is false for classes that path.Match interprets
// differently: with "!", or with "]" or "-" as a plain member.
func naive(pattern, key string) (match, known bool) {
	if pattern == "" {
		return key == "", true
	}
	if pattern[0] == '*' {
		deep := strings.HasPrefix(pattern, "**")
		rest := pattern[1:]
		if deep {
			rest = pattern[2:]
		}
		for i := range len(key) + 1 {
			if !deep && strings.Contains(key[:i], "/") {
				break
			}
			if match, known := naive(rest, key[i:]); match || !known {
				return match, known
			}
		}
		return false, true
	}
	// One token; path.Match decides which characters it matches.
	end := tokenEnd(pattern)
	first := ""
	if key != "" {
		_, w := utf8.DecodeRuneInString(key)
		first = key[:w]
	}
	ok, err := path.Match(pattern[:end], first)
	if err != nil || strings.HasPrefix(pattern, "[!") {
		return false, false
	}
	ok = ok && first != "" && (pattern[0] != '[' || first != "/")
	if !ok {
		return false, true
	}
	return naive(pattern[end:], key[len(first):])
}

func tokenEnd(pattern string) int {
	switch pattern[0] {
	case '[':
		for i := 1; i < len(pattern); i++ {
			switch pattern[i] {
			case '\\':
				i++
			case ']':
				return i + 1
			}
		}
		return len(pattern)
	case '\\':
		_, w := utf8.DecodeRuneInString(pattern[1:])
		return 1 + w
	}
	_, w := utf8.DecodeRuneInString(pattern)
	return w
}

func FuzzPattern_Match(f *testing.F) {
	for _, s := range [][2]string{
		{"a*b", "axxb"}, {"**/x", "a/b/x"}, {"[a-c]?", "b/"}, {`\*`, "*"}, {"***", "a/b"}, {"[^x]*", "yy"}, {"[^x]", "/"}, {"[z-a]", "m"}, {"ä?", "äö"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if len(pattern) > 24 || len(key) > 24 || !utf8.ValidString(pattern) || !utf8.ValidString(key) {
			t.Skip()
		}
		p, err := address.Compile(pattern)
		if err != nil {
			return
		}
		got := p.Match(key)
		if got {
			require.True(t, strings.HasPrefix(key, p.Prefix()))
			if p.HasWildcards() && p.Flat() {
				require.NotContains(t, key[len(p.Prefix()):], "/")
			}
		}
		if want, known := naive(pattern, key); known {
			require.Equal(t, want, got, "%q against %q", pattern, key)
		}
	})
}

func TestLocalize(t *testing.T) {
	t.Parallel()
	got, err := address.Localize("a/b.txt")
	require.NoError(t, err)
	require.Equal(t, filepath.Join("a", "b.txt"), got)
	for in, why := range map[string]string{
		"": "no local file name", "/etc/passwd": "begins with", "a/": "ends in", "a//b": "empty element", "../../evil": "would leave",
		"a/../b": "would leave", "./a": `element "."`, ".": `element "."`, "a\x00": "cannot be a local",
	} {
		_, err := address.Localize(in)
		require.ErrorContains(t, err, why, "%q", in)
		require.Equal(t, fault.Invalid, fault.ExitOf(err))
	}
}

func FuzzLocalize(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "a/../../x", "/abs", "a//b", "..", "a\\..\\b", "C:x"} {
		f.Add(s)
	}
	const root = "/some/target"
	f.Fuzz(func(t *testing.T, name string) {
		got, err := address.Localize(name)
		if err != nil {
			return
		}
		require.True(t, filepath.IsLocal(got))
		joined := filepath.Join(root, got)
		require.True(t, strings.HasPrefix(joined, root+string(filepath.Separator)), "%q became %q", name, joined)
		require.Equal(t, name, filepath.ToSlash(got), "no key becomes another one's file")
	})
}

// A ".." after a link leads where the system follows it to.
func TestResolve(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "e/real/in"), 0o700))
	require.NoError(t, os.Symlink("real/in", filepath.Join(dir, "e/lnk")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "e/real"), filepath.Join(dir, "abs")))
	for path, want := range map[string]string{
		"DIR/e/lnk/..": "DIR/e/real", "DIR/e/lnk/../": "DIR/e/real", "DIR/e/lnk/../x/y/": "DIR/e/real/x/y", "DIR/e/lnk/../.././lnk/../in": "DIR/e/real/in",
		"DIR/abs/in/../../real": "DIR/e/real", "DIR/e/lnk": "DIR/e/lnk", "DIR/e/lnk/": "DIR/e/lnk", "DIR/e/real/..": "DIR/e",
		"a//b/.": "a/b", "../a": "../a", "./..": "..", "": ".", "/": "/",
	} {
		got, err := address.Resolve(strings.ReplaceAll(path, "DIR", dir))
		require.NoError(t, err, path)
		require.Equal(t, strings.ReplaceAll(want, "DIR", dir), got, path)
	}
	_, err = address.Resolve(filepath.Join(dir, "absent") + "/../e")
	require.Equal(t, fault.NotFound, fault.ExitOf(err), "the system does not look behind what is not there")
}
