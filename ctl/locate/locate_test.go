package locate_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// bucket is a Lister over names; it lists in the simplest way.
type bucket []string

func (b bucket) Latest(_ context.Context, _, name string) (rest.File, error) {
	if !slices.Contains(b, name) {
		return rest.File{}, fault.New(problem.NotFound, "the object does not exist")
	}
	return rest.File{Bucket: "bkt", Name: name}, nil
}

func (b bucket) List(_ context.Context, q client.Query) iter.Seq2[client.Entry, error] {
	return func(yield func(client.Entry, error) bool) {
		if q.Bucket == "nope" {
			yield(client.Entry{}, fault.New(problem.NotFound, "bucket does not exist"))
			return
		}
		last := ""
		for _, name := range slices.Sorted(slices.Values(b)) {
			tail, ok := strings.CutPrefix(name, q.Prefix)
			if !ok {
				continue
			}
			e := client.Entry{Name: name, File: &rest.File{Bucket: q.Bucket, Name: name}}
			if i := strings.Index(tail, q.Delimiter); q.Delimiter != "" && i >= 0 {
				e = client.Entry{Name: q.Prefix + tail[:i+1]}
			}
			if e.Name == last {
				continue
			}
			last = e.Name
			if !yield(e, nil) {
				return
			}
		}
	}
}

// find returns "key -> rel" of each object, or the error.
func find(t *testing.T, b bucket, arg string, opts locate.Options) ([]string, error) {
	t.Helper()
	target, err := locate.ReadTarget(arg, opts)
	if err != nil {
		return nil, err
	}
	var found []string
	for o, err := range target.Objects(t.Context(), b) {
		if err != nil {
			return found, err
		}
		found = append(found, o.Address.Key+" -> "+o.Rel)
	}
	return found, nil
}

var names = bucket{"a", "a/1.txt", "a/2.txt", "a/b/3.txt", "ab/4.txt", "star*", "../evil", `back\slash`}

func TestTarget_Objects(t *testing.T) {
	t.Parallel()
	rec, raw := locate.Options{Recursive: true}, locate.Options{Raw: true}
	for _, tc := range []struct {
		arg  string
		opts locate.Options
		want []string
	}{
		{"s3://bkt/a/1.txt", locate.Options{}, []string{"a/1.txt -> 1.txt"}},
		{"s3://bkt/a", rec, []string{"a/1.txt -> a/1.txt", "a/2.txt -> a/2.txt", "a/b/3.txt -> a/b/3.txt"}},
		{"s3://bkt/a/", rec, []string{"a/1.txt -> 1.txt", "a/2.txt -> 2.txt", "a/b/3.txt -> b/3.txt"}},
		{"s3://bkt/a/b", rec, []string{"a/b/3.txt -> b/3.txt"}},
		{"s3://bkt/a/*.txt", locate.Options{}, []string{"a/1.txt -> 1.txt", "a/2.txt -> 2.txt"}},
		{"s3://bkt/a/*/3*", locate.Options{}, []string{"a/b/3.txt -> b/3.txt"}},
		{"s3://bkt/a**.txt", locate.Options{}, []string{"a/1.txt -> a/1.txt", "a/2.txt -> a/2.txt", "a/b/3.txt -> a/b/3.txt", "ab/4.txt -> ab/4.txt"}},
		{"s3://bkt/a?", rec, []string{"ab/4.txt -> ab/4.txt"}},
		{"s3://bkt/star*", raw, []string{"star* -> star*"}},
		{`s3://bkt/star\*`, locate.Options{}, []string{"star* -> star*"}},
		{`s3://bkt/back\slash`, raw, []string{`back\slash -> back\slash`}},
		{`s3://bkt/back\\slash`, locate.Options{}, []string{`back\slash -> back\slash`}},
		{"s3://bkt/../evil", locate.Options{}, []string{"../evil -> evil"}},
		{"s3://bkt", rec, []string{"../evil -> ../evil", "a -> a", "a/1.txt -> a/1.txt", "a/2.txt -> a/2.txt", "a/b/3.txt -> a/b/3.txt", "ab/4.txt -> ab/4.txt", `back\slash -> back\slash`, "star* -> star*"}},
	} {
		got, err := find(t, names, tc.arg, tc.opts)
		require.NoError(t, err, tc.arg)
		require.Equal(t, tc.want, got, "%s %+v", tc.arg, tc.opts)
	}
}

func TestTarget_WhatIsNotThere(t *testing.T) {
	t.Parallel()
	for arg, tc := range map[string]struct {
		opts locate.Options
		exit fault.Exit
		hint string
	}{
		"s3://bkt/x":        {locate.Options{}, fault.NotFound, ""},
		"s3://bkt/x/":       {locate.Options{}, fault.NotFound, "-r"},
		"s3://bkt":          {locate.Options{}, fault.Invalid, "-r"},
		"s3://bkt/x*":       {locate.Options{}, fault.NotFound, "--raw"},
		"s3://bkt/x/y/":     {locate.Options{Recursive: true}, fault.NotFound, "s3ctl ls s3://bkt/x/"},
		"s3://nope/*":       {locate.Options{}, fault.NotFound, ""},
		"s3://bkt/[":        {locate.Options{}, fault.Invalid, "--raw"},
		"s3://B/x":          {locate.Options{}, fault.Invalid, ""},
		"not/an/s3/address": {locate.Options{}, fault.Invalid, "s3://BUCKET/KEY"},
	} {
		_, err := find(t, names, arg, tc.opts)
		require.Equal(t, tc.exit, fault.ExitOf(err), "%s: %v", arg, err)
		require.Contains(t, fault.HintOf(err), tc.hint, arg)
	}
}

func TestTarget_Entries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		arg  string
		opts locate.Options
		want []string
	}{
		{"s3://bkt", locate.Options{}, []string{"../", "a", "a/", "ab/", `back\slash`, "star*"}},
		{"s3://bkt/a", locate.Options{}, []string{"a", "a/", "ab/"}},
		{"s3://bkt/a", locate.Options{Recursive: true}, []string{"a", "a/1.txt", "a/2.txt", "a/b/3.txt", "ab/4.txt"}},
		{"s3://bkt/a*", locate.Options{}, []string{"a", "a/", "ab/"}},
		{"s3://bkt/a?", locate.Options{}, []string{"ab/"}},
		{"s3://bkt/nothing", locate.Options{}, nil},
	} {
		target, err := locate.ReadTarget(tc.arg, tc.opts)
		require.NoError(t, err)
		var got []string
		for e, err := range target.Entries(t.Context(), names) {
			require.NoError(t, err)
			got = append(got, e.Name)
		}
		require.Equal(t, tc.want, got, tc.arg)
		require.Equal(t, tc.arg, target.Arg)
	}
	for arg, stop := range map[string]bool{"s3://nope/": false, "s3://bkt/zz*": false, "s3://bkt/": true} {
		target, err := locate.ReadTarget(arg, locate.Options{})
		require.NoError(t, err)
		for _, err := range target.Entries(t.Context(), names) {
			require.Equal(t, stop, err == nil)
			break
		}
	}
}

// With every optimization of listing, the result equals matching each key.
func TestTarget_FindsExactlyWhatMatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := bucket(rapid.SliceOfDistinct(rapid.StringMatching(`[ab/*]{1,5}`), rapid.ID[string]).Draw(rt, "names"))
		pattern := rapid.StringMatching(`[ab/]{0,3}[*?a/]{1,3}`).Draw(rt, "pattern")
		recursive := rapid.Bool().Draw(rt, "recursive")
		p, err := address.Compile(pattern)
		require.NoError(rt, err)
		if !p.HasWildcards() || strings.HasPrefix(pattern, "/") && len(pattern) == 1 {
			return
		}
		var want []string
		for _, name := range slices.Sorted(slices.Values(b)) {
			if p.Match(name) || recursive && p.Deep().Match(name) {
				want = append(want, name)
			}
		}
		target, err := locate.ReadTarget("s3://bkt/"+pattern, locate.Options{Recursive: recursive})
		require.NoError(rt, err)
		var got []string
		for o, err := range target.Objects(context.Background(), b) {
			if err != nil {
				require.Equal(rt, fault.NotFound, fault.ExitOf(err))
				break
			}
			require.True(rt, strings.HasSuffix(o.Address.Key, o.Rel))
			got = append(got, o.Address.Key)
		}
		require.Equal(rt, want, got)
	})
}

func TestReadDestination(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		arg    string
		from   locate.Sources
		key    string
		folder bool
	}{
		{"s3://bkt", locate.Sources{}, "", true},
		{"s3://bkt/", locate.Sources{Many: true}, "", true},
		{"s3://bkt/k", locate.Sources{}, "k", false},
		{"s3://bkt/k*", locate.Sources{}, "k*", false},
		{"s3://bkt/p/", locate.Sources{Many: true}, "p/", true},
		{"s3://bkt/p", locate.Sources{Recursive: true}, "p/", true},
		{"s3://bkt/p", locate.Sources{Many: true, Recursive: true}, "p/", true},
	} {
		d, err := locate.ReadDestination(tc.arg, tc.from)
		require.NoError(t, err, tc.arg)
		require.Equal(t, tc.key, d.Remote.Key, tc.arg)
		require.Equal(t, tc.folder, d.Folder, tc.arg)
	}
	_, err := locate.ReadDestination("s3://bkt/k", locate.Sources{Many: true})
	require.Contains(t, fault.HintOf(err), "s3://bkt/k/")
	_, err = locate.ReadDestination("nope", locate.Sources{})
	require.Equal(t, fault.Invalid, fault.ExitOf(err))
}

func files(t *testing.T, arg, dst string, recursive bool) (keys []string, skipped, failed int) {
	t.Helper()
	d, err := locate.ReadDestination(dst, locate.Sources{Recursive: recursive})
	require.NoError(t, err)
	locate.Files(arg, d, func(f locate.Local) {
		switch {
		case f.Err != nil:
			failed++
		case f.Skip != "":
			skipped++
		default:
			keys = append(keys, f.Key)
		}
	})
	return keys, skipped, failed
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "photos")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub", "empty"), 0o700))
	for _, name := range []string{"b.jpg", "a.jpg", "sub/c.jpg"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	file := filepath.Join(dir, "a.jpg")

	for _, tc := range []struct {
		arg, dst  string
		recursive bool
		want      []string
	}{
		{file, "s3://bkt", false, []string{"a.jpg"}},
		{file, "s3://bkt/x", false, []string{"x"}},
		{file, "s3://bkt/x", true, []string{"x/a.jpg"}},
		{dir, "s3://bkt", true, []string{"photos/a.jpg", "photos/b.jpg", "photos/sub/c.jpg"}},
		{dir + "/", "s3://bkt/p", true, []string{"p/a.jpg", "p/b.jpg", "p/sub/c.jpg"}},
		{dir + "/sub/..", "s3://bkt/p/", true, []string{"p/a.jpg", "p/b.jpg", "p/sub/c.jpg"}},
	} {
		keys, skipped, failed := files(t, tc.arg, tc.dst, tc.recursive)
		require.Equal(t, tc.want, keys, "%s %s", tc.arg, tc.dst)
		require.Zero(t, skipped+failed)
	}

	keys, _, failed := files(t, dir, "s3://bkt", false)
	require.Empty(t, keys)
	require.Equal(t, 1, failed, "a folder needs -r")
	_, _, failed = files(t, filepath.Join(dir, "absent"), "s3://bkt", true)
	require.Equal(t, 1, failed)
}

func TestFiles_LinksPipesAndBadNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad\xff"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink("file", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(".", filepath.Join(dir, "loop")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	keys, skipped, failed := files(t, dir+"/", "s3://bkt", true)
	require.Equal(t, []string{"file", "link"}, keys)
	require.Equal(t, 4, skipped, "the loop, the pipe, the dangling link, and the name that is no UTF-8")
	require.Zero(t, failed, "a tree with such names can be stored, today and every day")

	d, err := locate.ReadDestination("s3://bkt/k", locate.Sources{})
	require.NoError(t, err)
	locate.Files(filepath.Join(dir, "pipe"), d, func(f locate.Local) {
		require.NoError(t, f.Err)
		require.EqualValues(t, -1, f.Size, "named outright, a pipe is sent as a stream")
	})
}
