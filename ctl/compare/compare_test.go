package compare_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/proto/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func side(entries ...compare.Entry) compare.Side { return compare.Side(slices.Values(entries)) }

func named(names ...string) compare.Side {
	return func(yield func(compare.Entry) bool) {
		for _, name := range names {
			if !yield(compare.Entry{Name: name, State: compare.Present}) {
				return
			}
		}
	}
}

// Every name appears once, in order, with the entry of each side. The oracle uses plain sets.
func TestPairs_AgreeWithSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string) []string {
			names := rapid.MapOfN(rapid.StringMatching(`[ab/-]{1,4}`), rapid.Just(true), 0, 400).Draw(rt, label)
			return slices.Sorted(maps.Keys(names))
		}
		left, right := draw("left"), draw("right")
		all := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(left), right...))))
		var got []string
		for p := range compare.Pairs(context.Background(), named(left...), named(right...)) {
			got = append(got, p.Name)
			require.Equal(rt, slices.Contains(left, p.Name), p.Left.State == compare.Present)
			require.Equal(rt, slices.Contains(right, p.Name), p.Right.State == compare.Present)
			require.Equal(rt, []string{p.Name, p.Name}, []string{p.Left.Name, p.Right.Name})
		}
		require.Equal(rt, all, got)
	})
}

// A name below an Unknown one is Unknown on either side; no other name is.
func TestPairs_UnknownHidesWhatLiesBehind(t *testing.T) {
	t.Parallel()
	trouble := errors.New("trouble")
	hiding := side(
		compare.Entry{Name: "b", Why: "a link", Below: true}, compare.Entry{Name: "b-", State: compare.Present}, compare.Entry{Name: "c", Why: compare.Excluded},
		compare.Entry{Name: "d/", Err: trouble, Below: true}, compare.Entry{Name: "d/seen", State: compare.Present})
	const hidden = 2 // Unknown because of the entry on the other side
	want := map[string]int{
		"a": 0, "b": hidden, "b-": 0, "b-c": 0, "b/c": hidden, "b/d/e": hidden, "b0": 0, "c": hidden, "c/d": 0,
		"d": 0, "d-": 0, "d/": hidden, "d/hidden": hidden, "d/seen": 0, "e": 0,
	}
	others := slices.Sorted(maps.Keys(want))
	for _, flip := range []bool{false, true} {
		left, right := hiding, named(others...)
		if flip {
			left, right = right, left
		}
		got := map[string]int{}
		for p := range compare.Pairs(t.Context(), left, right) {
			mine := p.Left
			if flip {
				mine = p.Right
			}
			got[p.Name] = 0
			if mine.State == compare.Unknown {
				got[p.Name] = hidden
				require.NotEmpty(t, p.Why())
			}
			require.Equal(t, p.Name == "d/", p.Trouble() != nil, p.Name)
		}
		require.Equal(t, want, got, "flip %t", flip)
	}
}

// Rules make names Unknown, but do not hide the error of a folder: it also affects names that the rules do not match.
func TestSide_Only(t *testing.T) {
	t.Parallel()
	trouble := errors.New("trouble")
	takes, err := address.Rules{{Pattern: "x"}}.Compile()
	require.NoError(t, err)
	var got []string
	for e := range side(compare.Entry{Name: "a", State: compare.Present}, compare.Entry{Name: "x", Err: trouble}, compare.Entry{Name: "x/", Err: trouble},
		compare.Entry{Name: "x/y", State: compare.Present}, compare.Entry{Err: trouble}).Only(takes) {
		got = append(got, fmt.Sprintf("%s %d %s %t", e.Name, e.State, e.Why, e.Err != nil))
	}
	require.Equal(t, []string{"a 2  false", "x 0 excluded false", "x/ 0  true", "x/y 0 excluded false", " 0  true"}, got)
	require.Zero(t, compare.Unknown, "what was not set is not known")
}

// Names missing from a side that failed must never count as absent.
func TestPairs_EndWithABrokenSide(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]compare.Side{
		"listing failed": side(compare.Entry{Name: "a", State: compare.Present}, compare.Entry{Err: errors.New("away")}),
		"out of order":   named("a", "c", "b", "x"),
		"twice":          named("a", "a", "b"),
	} {
		var last compare.Pair
		for p := range compare.Pairs(t.Context(), broken, named("a", "b", "c", "d")) {
			require.NotEqual(t, "d", p.Name, name)
			last = p
		}
		require.Error(t, last.Trouble(), name)
	}
}

func TestPairs_StopEarly(t *testing.T) {
	t.Parallel()
	endless := func(yield func(compare.Entry) bool) {
		for i := 0; yield(compare.Entry{Name: fmt.Sprintf("%09d", i)}); i++ { // endless
		}
	}
	for range compare.Pairs(t.Context(), endless, endless) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range compare.Pairs(ctx, endless, named()) {
		if n++; n == 1000 {
			cancel()
		}
	}
	require.Equal(t, 1000, n, "nothing comes once the context has ended")
}

// A walk returns names in key order, in which "a-b" precedes "a/b".
func TestLocal_InTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		root := filepath.Join(dir, fmt.Sprint(n))
		var want []string
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[ab!0-]([ab!0.-]|/[ab!0-]){0,5}`), 0, 30).Draw(rt, "names") {
			path := filepath.Join(root, name)
			if os.MkdirAll(filepath.Dir(path), 0o700) != nil || os.WriteFile(path, []byte(name), 0o600) != nil {
				continue // a file exists where a folder is needed, or the reverse
			}
			want = append(want, filepath.ToSlash(strings.TrimPrefix(path, root+"/")))
		}
		slices.Sort(want)
		var got []string
		for e := range compare.Local(root, compare.Follow) {
			require.NoError(rt, e.Err)
			got = append(got, e.Name)
		}
		require.Equal(rt, slices.Compact(want), got)
		require.NoError(rt, os.RemoveAll(root))
	})
}

func TestLocal_LinksPipesAndUnfinished(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	write := func(path, data string) { require.NoError(t, os.WriteFile(path, []byte(data), 0o600)) }
	write(outside, "12345")
	write(filepath.Join(root, "file"), "123")
	write(filepath.Join(root, ".big.part"), "bytes of a download")
	write(filepath.Join(root, ".big.part.log"), `{"format":"s3ctl download","version":1}`+"\n")
	write(filepath.Join(root, ".mine.part"), "1")
	write(filepath.Join(root, ".yours.part"), "1")
	write(filepath.Join(root, ".yours.part.log"), "12")
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "link")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))
	require.NoError(t, os.Symlink(".", filepath.Join(root, "loop")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600))
	read := func(links compare.Links) (out []string) {
		for e := range compare.Local(root, links) {
			require.Equal(t, e.State == compare.Unknown, e.Below, e.Name)
			why := e.Why
			if e.Err != nil {
				why = "an error"
			}
			out = append(out, fmt.Sprintf("%s %d %s", e.Name, e.Size, why))
		}
		return out
	}
	own := []string{".big.part 0 " + compare.Unfinished, ".big.part.log 0 " + compare.Unfinished, ".mine.part 1 ", ".yours.part 1 ", ".yours.part.log 2 "}
	ends := []string{"loop 0 " + compare.LinkFolder, "pipe 0 " + compare.Irregular}
	require.Equal(t, slices.Concat(own, []string{"dangling 0 " + compare.Dangling, "file 3 ", "link 5 "}, ends), read(compare.Follow))
	require.Equal(t, slices.Concat(own, []string{"dangling 0 " + compare.LinkFile, "file 3 ", "link 5 " + compare.LinkFile}, ends), read(compare.Keep))
	require.Equal(t, slices.Concat(own, []string{"dangling 0 " + compare.Dangling, "file 3 ", "link 5 ", "loop 0 " + compare.LinkLoop, ends[1]}), read(compare.FollowAll))
	for range compare.Local(filepath.Join(root, "absent"), compare.Keep) {
		t.Fatal("what is not there has nothing in it")
	}
	for e := range compare.Local(filepath.Join(root, "file"), compare.Keep) {
		require.Error(t, e.Err)
		require.Empty(t, e.Name, "about the side as a whole")
	}
}

// A folder that is removed while the walk is in its parent is not treated as empty: its content is unknown.
func TestLocal_VanishedFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"a/x", "b/x", "c/x"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), nil, 0o600))
	}
	got := map[string]compare.State{}
	for e := range compare.Local(root, compare.Follow) {
		require.NoError(t, e.Err)
		got[e.Name] = e.State
		if e.Name == "a/x" {
			require.NoError(t, os.RemoveAll(filepath.Join(root, "b")))
			require.NoError(t, os.RemoveAll(filepath.Join(root, "c")))
			require.NoError(t, os.WriteFile(filepath.Join(root, "c"), nil, 0o600))
		}
	}
	require.Equal(t, map[string]compare.State{"a/x": compare.Present, "b/": compare.Unknown, "c/": compare.Unknown}, got)
}

type bucket []rest.File

func (b bucket) Latest(context.Context, string, string) (rest.File, error) {
	return rest.File{}, fs.ErrNotExist
}

func (b bucket) List(_ context.Context, q client.Query) iter.Seq2[client.Entry, error] {
	return func(yield func(client.Entry, error) bool) {
		for _, f := range b {
			if strings.HasPrefix(f.Name, q.Prefix) && !yield(client.Entry{Name: f.Name, File: &f}, nil) {
				return
			}
		}
		yield(client.Entry{}, errors.New("away"))
	}
}

func TestRemote(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	changed := created.Add(-time.Hour)
	b := bucket{
		{Name: "p/a", Size: 1, CreatedAt: created, Meta: rest.Meta{"mtime": changed.Format(time.RFC3339Nano)}},
		{Name: "p/b", Size: 2, CreatedAt: created, Meta: rest.Meta{"mtime": "yesterday"}},
		{Name: "p/dir/", CreatedAt: created},
		{Name: "q/c"},
	}
	var got []compare.Entry
	folder := compare.Folder{Remote: address.Remote{Bucket: "bkt", Key: "p/"}}
	for e := range compare.Remote(t.Context(), b, folder) {
		got = append(got, e)
	}
	require.Len(t, got, 3)
	require.Equal(t, "a", got[0].Name)
	require.True(t, got[0].Own)
	require.True(t, got[0].Time.Equal(changed))
	require.False(t, got[1].Own, "a time that cannot be read is none")
	require.True(t, got[1].Time.Equal(created))
	require.EqualError(t, got[2].Err, "s3://bkt/p/: away")

	got, folder.Markers = nil, true
	for e := range compare.Remote(t.Context(), b, folder) {
		got = append(got, e)
	}
	require.Equal(t, "dir/", got[2].Name, "between prefixes it is an object like others")
}

func TestOlder(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	entry := func(at time.Time, own bool) *compare.Entry { return &compare.Entry{Time: at, Own: own} }
	require.False(t, compare.Older(entry(at, true), entry(at, true)))
	require.False(t, compare.Older(entry(at.Truncate(time.Second), true), entry(at, true)), "a file system that keeps seconds")
	require.True(t, compare.Older(entry(at.Add(time.Second), true), entry(at, true)), "younger, but not the same")
	require.True(t, compare.Older(entry(at.Add(-time.Millisecond), true), entry(at, true)))
	require.False(t, compare.Older(entry(at.Add(time.Hour), false), entry(at, true)), "uploaded after the last change")
	require.True(t, compare.Older(entry(at.Add(-time.Hour), false), entry(at, true)))
	require.False(t, compare.Older(entry(at.Add(time.Hour), true), entry(at, false)), "fetched after it was uploaded")
}

func TestEntry_Sum(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("123456789"), 0o600))
	sum, err := (&compare.Entry{Path: path}).Sum(t.Context())
	require.NoError(t, err)
	require.Equal(t, "rosUhgp5mIg=", sum) // the check value of CRC64NVME
	sum, err = (&compare.Entry{File: &rest.File{Checksums: rest.Checksums{CRC64NVME: "x"}}}).Sum(t.Context())
	require.NoError(t, err)
	require.Equal(t, "x", sum)
	_, err = (&compare.Entry{File: &rest.File{}}).Sum(t.Context())
	require.Error(t, err)
	_, err = (&compare.Entry{Path: path + "x"}).Sum(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = (&compare.Entry{Path: path}).Sum(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
