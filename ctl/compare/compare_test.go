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

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/proto/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func side(entries ...compare.Entry) compare.Side { return compare.Side(slices.Values(entries)) }

func named(names ...string) compare.Side {
	return func(yield func(compare.Entry) bool) {
		for _, name := range names {
			if !yield(compare.Entry{Name: name}) {
				return
			}
		}
	}
}

// Every name comes once, in order, with what each side has: held against plain sets.
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
			require.Equal(rt, slices.Contains(left, p.Name), p.Left != nil)
			require.Equal(rt, slices.Contains(right, p.Name), p.Right != nil)
			require.True(rt, p.Left == nil || p.Left.Name == p.Name)
			require.True(rt, p.Right == nil || p.Right.Name == p.Name)
		}
		require.Equal(rt, all, got)
	})
}

func TestPairs_ErrorsAndSkipsKeepTheirNames(t *testing.T) {
	t.Parallel()
	trouble := errors.New("trouble")
	left := side(compare.Entry{Name: "a"}, compare.Entry{Name: "b", Skip: "why not"}, compare.Entry{Name: "c/", Err: trouble}, compare.Entry{Name: "d"})
	var got []string
	for p := range compare.Pairs(t.Context(), left, named("a", "b", "d")) {
		got = append(got, fmt.Sprintf("%s %v %v %v %q", p.Name, p.Left != nil, p.Right != nil, p.Trouble() != nil, p.Skip()))
	}
	require.Equal(t, []string{`a true true false ""`, `b true true false "why not"`, `c/ true false true ""`, `d true true false ""`}, got)
}

// A folder that cannot be read hides names that a rule for the folder need not be about.
func TestPair_Whole(t *testing.T) {
	t.Parallel()
	trouble := errors.New("trouble")
	for _, tc := range []struct {
		left compare.Entry
		want bool
	}{
		{compare.Entry{Name: "a", Err: trouble}, false},
		{compare.Entry{Name: "a/", Err: trouble}, true},
		{compare.Entry{Name: "a/"}, false},
		{compare.Entry{Err: trouble}, true},
	} {
		require.Equal(t, tc.want, compare.Pair{Name: tc.left.Name, Left: &tc.left}.Whole(), "%v", tc.left)
	}
}

// What a broken side lacks must never pass for missing.
func TestPairs_EndWithABrokenSide(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]compare.Side{
		"listing failed": side(compare.Entry{Name: "a"}, compare.Entry{Err: errors.New("away")}),
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
		for i := 0; yield(compare.Entry{Name: fmt.Sprintf("%09d", i)}); i++ { // until nobody wants more
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

// A walk gives names in the order of keys, where "a-b" comes before "a/b".
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
				continue // a file stands where a folder would, or the other way round
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
	require.NoError(t, os.WriteFile(outside, []byte("12345"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), []byte("123"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, ".big.part"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, ".big.part.log"), nil, 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "link")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))
	require.NoError(t, os.Symlink(".", filepath.Join(root, "loop")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600))
	read := func(links compare.Links) (out []string) {
		for e := range compare.Local(root, links) {
			out = append(out, fmt.Sprintf("%s %d %t %t", e.Name, e.Size, e.Skip != "", e.Err != nil))
		}
		return out
	}
	require.Equal(t, []string{"dangling 0 false true", "file 3 false false", "link 5 false false", "loop 0 true false", "pipe 0 true false"}, read(compare.Follow))
	require.Equal(t, []string{"dangling -1 false false", "file 3 false false", "link -1 false false", "loop 0 true false", "pipe -1 false false"}, read(compare.Keep))
	for range compare.Local(filepath.Join(root, "absent"), compare.Keep) {
		t.Fatal("what is not there has nothing in it")
	}
	for e := range compare.Local(filepath.Join(root, "file"), compare.Keep) {
		require.Error(t, e.Err)
		require.Empty(t, e.Name, "about the side as a whole")
	}
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
	for e := range compare.Remote(t.Context(), b, "bkt", "p/") {
		got = append(got, e)
	}
	require.Len(t, got, 3)
	require.Equal(t, "a", got[0].Name)
	require.True(t, got[0].Own)
	require.True(t, got[0].Time.Equal(changed))
	require.False(t, got[1].Own, "a time that nobody can read is none")
	require.True(t, got[1].Time.Equal(created))
	require.EqualError(t, got[2].Err, "s3://bkt/p/: away")
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
