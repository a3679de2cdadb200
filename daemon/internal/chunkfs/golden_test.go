package chunkfs_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata. A change there is a change of the
// format, or of the order of durable calls, and is to be reviewed as such.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, string(want) == string(got), "%s differs; run the test with -update and look at the difference", path)
}

// goldenLabel has a different value in every field.
var goldenLabel = chunk.Label{
	File: store.FileID{1, 2, 3, 15: 16}, Bucket: "photos", Key: "summer/ä.jpg", ContentType: "image/jpeg", CreatedAt: 1_700_000_000_123_456,
	FileSize: 12345, PartNumber: 2, PartOffset: 5000, PartSize: 7345, PartCRC64: 0x0123456789abcdef, K: 6, M: 4, UnitSize: 1000,
}

// goldenNode is an identity that never changes.
var goldenNode = chunkfs.Identity{Node: store.NodeID{0xaa, 15: 1}, Cluster: store.ClusterID{0xbb, 15: 2}}

// goldenDisk writes a directory with one chunk in each format and a deletion.
func goldenDisk(t *testing.T, fs vfs.FS) {
	cfg := tiny(fs)
	cfg.Identity = goldenNode
	s, err := chunkfs.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, put(s, fixedID(1), text(1, 2500), goldenLabel)) // packed, three units
	require.NoError(t, put(s, fixedID(2), text(2, 10), chunk.Label{}))
	require.NoError(t, s.Delete(t.Context(), fixedID(2)))
	require.NoError(t, put(s, fixedID(3), text(3, 3500), goldenLabel)) // a file of four units
	require.NoError(t, s.Close())
}

func TestFormatsAreAsWrittenDown(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	goldenDisk(t, disk)
	for file, name := range map[string]string{
		"chunks/01/" + fixedID(3).String(): "chunk-file.golden",
		"segments/00000001.seg":            "segment.golden",
		"identity":                         "identity.golden",
	} {
		data, err := vfs.ReadFile(disk, file, 1<<20)
		require.NoError(t, err)
		golden(t, name, data)
	}
}

// TestGoldenFilesAreRead: what this version wrote stays readable.
func TestGoldenFilesAreRead(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	for name, file := range map[string]string{
		"chunk-file.golden": "chunks/01/" + fixedID(3).String(),
		"segment.golden":    "segments/00000001.seg",
		"identity.golden":   "identity",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.NoError(t, disk.MkdirAll(filepath.Dir(file)))
		require.NoError(t, vfs.Replace(disk, filepath.Dir(file), filepath.Base(file), data))
	}
	s := open(t, tiny(disk))
	require.Equal(t, goldenNode, s.Identity())
	o := &oracle{kept: map[store.ChunkID]string{fixedID(1): text(1, 2500), fixedID(3): text(3, 3500)}}
	o.check(t, s)
	for _, n := range []int{1, 3} {
		info, err := s.Stat(t.Context(), fixedID(n))
		require.NoError(t, err)
		require.Equal(t, goldenLabel, info.Label)
		require.EqualValues(t, 1_700_000_000, info.StoredAt)
	}
}

// TestDurableSequence records every call that changes the disk, beginning with an empty
// directory. The golden file makes a change of the durable order visible as a diff.
func TestDurableSequence(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	section := func(title string) { b.WriteString("\n# " + title + "\n") }
	fs := vfstest.NewInject(vfstest.NewCrashable(), func(call vfstest.Call) error {
		if call.Changes() {
			b.WriteString(call.String() + "\n")
		}
		return nil
	})
	b.WriteString("# open an empty directory\n")
	cfg := tiny(fs)
	cfg.Identity = goldenNode
	s, err := chunkfs.Open(t.Context(), cfg)
	require.NoError(t, err)
	section("first small chunk")
	require.NoError(t, put(s, fixedID(1), text(1, 900), goldenLabel))
	section("next small chunk")
	require.NoError(t, put(s, fixedID(4), text(1, 500), goldenLabel))
	section("large chunk, its size known before")
	w, err := s.Create(t.Context(), chunk.Spec{ID: fixedID(2), UnitSize: 4000, SizeHint: 12_000})
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, w.Append(chunk.NewUnit([]byte(text(2, 4000)), nil)))
	}
	_, err = w.Commit(goldenLabel)
	require.NoError(t, err)
	section("large chunk, its size unknown, in a folder that is there")
	require.NoError(t, put(s, fixedID(5), text(3, 3500), goldenLabel))
	section("delete a large chunk")
	require.NoError(t, s.Delete(t.Context(), fixedID(2)))
	section("delete a small chunk")
	require.NoError(t, s.Delete(t.Context(), fixedID(1)))
	section("fill the segment: it is sealed and the next begins")
	require.NoError(t, put(s, fixedID(7), text(4, 2900), goldenLabel))
	require.NoError(t, put(s, fixedID(8), text(5, 2900), goldenLabel))
	section("compact: copy, then remove")
	require.NoError(t, s.Delete(t.Context(), fixedID(7)))
	require.NoError(t, s.Compact(t.Context()))
	section("close")
	require.NoError(t, s.Close())
	golden(t, "durable-sequence.txt", []byte(b.String()))
}
