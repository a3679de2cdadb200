package chunkfs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// overwrite replaces a file in place.
func overwrite(t testing.TB, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Open(name)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(0))
	_, err = f.WriteAt(data, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func contentOf(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	data, err := vfs.ReadFile(fs, name, 1<<30)
	require.NoError(t, err)
	return data
}

func flipped(data []byte, bit int) []byte {
	out := bytes.Clone(data)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}

// TestDamagedChunkFile: each kind of damage is reported by name.
func TestDamagedChunkFile(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	id, other := fixedID(1), fixedID(4) // of one folder
	require.NoError(t, put(s, id, text(1, 3500), goldenLabel))
	require.NoError(t, put(s, other, text(2, 4500), goldenLabel))
	name := "chunks/02/" + id.String()
	whole, theirs := contentOf(t, disk, name), contentOf(t, disk, "chunks/02/"+other.String())
	const dataAt = 4096
	tail := dataAt + 3500
	for what, c := range map[string]struct {
		data    []byte
		message string
	}{
		"empty":               {nil, "truncated"},
		"header only":         {whole[:dataAt], "truncated"},
		"less than a header":  {whole[:10], "truncated"},
		"cut in the data":     {whole[:dataAt+2000], "truncated"},
		"last byte gone":      {whole[:len(whole)-1], "truncated"},
		"a byte too many":     {append(bytes.Clone(whole), 0), "truncated or has bytes appended"},
		"swapped":             {theirs, "holds another chunk: " + other.String()},
		"foreign":             {bytes.Repeat([]byte("ELF!"), 5000), "not a chunk file"},
		"zeros":               {make([]byte, 9000), "not a chunk file"},
		"header flipped":      {flipped(whole, 8*20), "header does not match"},
		"data flipped":        {flipped(whole, 8*(dataAt+1500)+3), "CRC32C"},
		"table flipped":       {flipped(whole, 8*tail), "table and label do not match"},
		"label flipped":       {flipped(whole, 8*(tail+30)), "table and label do not match"},
		"footer flipped":      {flipped(whole, 8*(len(whole)-30)), "footer does not match"},
		"end of another":      {append(bytes.Clone(whole[:len(whole)-72]), theirs[len(theirs)-72:]...), "footer of another chunk"},
		"data of two lengths": {append(bytes.Clone(whole[:dataAt+1000]), whole[dataAt+2000:]...), "its footer says"},
	} {
		overwrite(t, disk, name, c.data)
		_, err := chunktest.Read(t.Context(), s, id)
		require.ErrorIs(t, err, store.Corrupt, what)
		require.ErrorContains(t, err, c.message, what)
		require.ErrorContains(t, err, id.String(), what)
		require.ErrorIs(t, s.Verify(t.Context(), id), store.Corrupt, what)
		if c.message == "CRC32C" {
			continue // Stat and List do not read data
		}
		_, err = s.Stat(t.Context(), id)
		require.ErrorIs(t, err, store.Corrupt, what)
		listed, err := s.List(t.Context(), store.ChunkID{}, 10)
		require.NoError(t, err, what)
		require.Len(t, listed, 2, what)
		require.Equal(t, id, listed[0].ID, what)
		require.ErrorIs(t, put(s, id, text(1, 3500), goldenLabel), store.Exists, what)
	}
	// The other chunk is intact, and the damaged one can be deleted and written again.
	_, err := chunktest.Read(t.Context(), s, other)
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), id))
	require.NoError(t, put(s, id, text(1, 3500), goldenLabel))
	require.NoError(t, s.Verify(t.Context(), id))
}

func TestEveryFlippedBitOfAChunkFileIsSeen(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	id := fixedID(1)
	require.NoError(t, put(s, id, text(1, 3500), goldenLabel))
	name := "chunks/02/" + id.String()
	whole := contentOf(t, disk, name)
	for bit := 0; bit < 8*len(whole); bit += 5 {
		if at := bit / 8; at >= 64 && at < 4096 {
			continue // the rest of the header's block has no meaning
		}
		overwrite(t, disk, name, flipped(whole, bit))
		require.ErrorIs(t, s.Verify(t.Context(), id), store.Corrupt, "bit %d of byte %d", bit%8, bit/8)
	}
}

func TestChunkFileTakenAway(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	id := fixedID(1)
	require.NoError(t, put(s, id, text(1, 3500), goldenLabel))
	require.NoError(t, disk.Remove("chunks/02/"+id.String()))
	_, err := chunktest.Read(t.Context(), s, id)
	require.ErrorIs(t, err, store.NotFound)
	listed, err := s.List(t.Context(), store.ChunkID{}, 10)
	require.NoError(t, err)
	require.Len(t, listed, 1, "List answers from the index; reading finds the loss")
	require.NoError(t, put(s, id, text(1, 3500), goldenLabel), "a repair writes it again")
	require.NoError(t, s.Verify(t.Context(), id))
	require.NoError(t, disk.Remove("chunks/02/"+id.String()))
	require.NoError(t, s.Delete(t.Context(), id))
}

// TestDamagedSegment flips every few bits of a sealed segment: the damaged
// chunk is reported, or the index makes up for it; the others read as before.
func TestDamagedSegment(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	for n := range 4 {
		require.NoError(t, put(s, fixedID(n), text(n, 700), goldenLabel))
	}
	require.NoError(t, s.Close())
	const name = "segments/00000001.seg"
	whole := contentOf(t, disk, name)
	for bit := 3; bit < 8*len(whole); bit += 37 {
		hurt := disk.CrashClone(vfstest.CrashLosesNone)
		overwrite(t, hurt, name, flipped(whole, bit))
		s, err := chunkfs.Open(t.Context(), tiny(hurt))
		require.NoError(t, err, "damage never keeps the store from opening")
		bad := 0
		for n := range 4 {
			got, err := chunktest.Read(t.Context(), s, fixedID(n))
			if err != nil {
				require.ErrorIs(t, err, store.Corrupt, "byte %d", bit/8)
				bad++
				continue
			}
			require.True(t, text(n, 700) == string(got))
		}
		require.LessOrEqual(t, bad, 1, "one bit, one chunk; byte %d", bit/8)
		require.NoError(t, s.Close())
	}
}

// TestDamageInAnOpenSegment: records that were acknowledged after the damage are found, and a
// record with bad data is reported, not lost.
func TestDamageInAnOpenSegment(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	for n := range 3 {
		require.NoError(t, put(s, fixedID(n), text(n, 700), goldenLabel))
	}
	const name = "segments/00000001.seg"
	whole := contentOf(t, disk, name)
	hurt := func(at int) *chunkfs.Store {
		left := disk.Clone()
		overwrite(t, left, name, flipped(whole, 8*at))
		return open(t, tiny(left))
	}
	inData := hurt(64 + 400)
	_, err := chunktest.Read(t.Context(), inData, fixedID(0))
	require.ErrorIs(t, err, store.Corrupt)
	inHeader := hurt(64 + 33)
	_, err = chunktest.Read(t.Context(), inHeader, fixedID(0))
	require.ErrorIs(t, err, store.NotFound, "its name is not known any more")
	for _, s := range []*chunkfs.Store{inData, inHeader} {
		for n := 1; n < 3; n++ {
			got, err := chunktest.Read(t.Context(), s, fixedID(n))
			require.NoError(t, err)
			require.True(t, text(n, 700) == string(got))
		}
	}
}

// TestTornTailIsCut cuts an open segment at every length.
func TestTornTailIsCut(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	var ends []int
	for n := range 3 {
		require.NoError(t, put(s, fixedID(n), text(n, 300), goldenLabel))
		ends = append(ends, 64+(n+1)*496)
	}
	const name = "segments/00000001.seg"
	whole := contentOf(t, disk, name)
	for length := 0; length <= ends[2]+100; length += 7 {
		left := disk.Clone()
		overwrite(t, left, name, whole[:length])
		for range 2 { // the second time by the index
			s, err := chunkfs.Open(t.Context(), tiny(left))
			require.NoError(t, err)
			for n, end := range ends {
				got, err := chunktest.Read(t.Context(), s, fixedID(n))
				if length < end-5 { // the last bytes of a record are padding
					require.ErrorIs(t, err, store.NotFound, "%d bytes", length)
				} else if length >= end {
					require.NoError(t, err, "%d bytes", length)
					require.True(t, text(n, 300) == string(got))
				}
			}
			require.NoError(t, s.Close())
		}
	}
}

func TestForeignNamesAreLeftAlone(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	require.NoError(t, put(s, fixedID(1), text(1, 3500), goldenLabel))
	require.NoError(t, put(s, fixedID(2), text(1, 100), goldenLabel))
	require.NoError(t, s.Close())
	foreign := []string{"chunks/readme", "chunks/02/notes.txt", "chunks/02/" + fixedID(2).String(), "segments/backup.seg", "segments/0000000a.tmp", "segments/00000000.seg"}
	for _, name := range foreign {
		require.NoError(t, vfs.Replace(disk, filepath.Dir(name), filepath.Base(name), []byte("hello")))
	}
	require.NoError(t, disk.MkdirAll("chunks/02/"+store.ChunkID{Part: store.PartID{2, 9}}.String()))
	s = open(t, tiny(disk))
	listed, err := s.List(t.Context(), store.ChunkID{}, 10)
	require.NoError(t, err)
	require.Len(t, listed, 2)
	for _, name := range foreign {
		require.Equal(t, "hello", string(contentOf(t, disk, name)))
	}
}

// TestForeignSegmentIsNotTakenForOurs puts a segment under another's number.
func TestForeignSegmentIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s, err := chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	require.NoError(t, put(s, fixedID(1), text(1, 100), goldenLabel))
	require.NoError(t, s.Close())
	s, err = chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	require.NoError(t, put(s, fixedID(2), text(2, 100), goldenLabel))
	require.NoError(t, s.Close())
	first := contentOf(t, disk, "segments/00000001.seg")
	overwrite(t, disk, "segments/00000001.seg", contentOf(t, disk, "segments/00000002.seg"))
	s, err = chunkfs.Open(t.Context(), tiny(disk))
	require.NoError(t, err)
	_, err = s.Stat(t.Context(), fixedID(1))
	require.ErrorIs(t, err, store.NotFound)
	_, err = s.Stat(t.Context(), fixedID(2))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	overwrite(t, disk, "segments/00000001.seg", first) // it was not changed, so it can be restored
	s = open(t, tiny(disk))
	require.NoError(t, s.Verify(t.Context(), fixedID(1)))
}

// TestRottenChunkStopsCompaction: a segment with a damaged chunk is kept until
// that chunk is deleted.
func TestRottenChunkStopsCompaction(t *testing.T) {
	t.Parallel()
	disk := vfstest.NewCrashable()
	s := open(t, tiny(disk))
	for n := range 3 {
		require.NoError(t, put(s, fixedID(n), text(n, 1000), goldenLabel))
	}
	require.NoError(t, put(s, fixedID(9), text(9, 2900), goldenLabel)) // seals the segment
	const name = "segments/00000001.seg"
	overwrite(t, disk, name, flipped(contentOf(t, disk, name), 8*(64+600)))
	require.NoError(t, s.Delete(t.Context(), fixedID(1)))
	require.NoError(t, s.Delete(t.Context(), fixedID(2)))
	for range 2 {
		require.NoError(t, s.Compact(t.Context()))
		_, err := chunktest.Read(t.Context(), s, fixedID(0))
		require.ErrorIs(t, err, store.Corrupt)
		_, err = disk.Stat(name)
		require.NoError(t, err)
	}
	require.NoError(t, s.Delete(t.Context(), fixedID(0)))
	require.NoError(t, s.Compact(t.Context()))
	_, err := disk.Stat(name)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// FuzzOpenChunkFile passes arbitrary bytes as a chunk file: reading returns Corrupt, or a
// chunk that verifies.
func FuzzOpenChunkFile(f *testing.F) {
	seed, err := os.ReadFile("testdata/chunk-file.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:4096])
	f.Add([]byte{})
	disk := vfstest.NewCrashable()
	goldenDiskF(f, disk)
	s := open(f, tiny(disk))
	id := fixedID(3)
	f.Fuzz(func(t *testing.T, data []byte) {
		overwrite(t, disk, "chunks/01/"+id.String(), data)
		requireSoundOrCorrupt(t, s, id)
	})
}

// FuzzSegmentScan passes arbitrary bytes as a segment: the store opens, and every chunk that
// it lists reads back or is Corrupt.
func FuzzSegmentScan(f *testing.F) {
	seed, err := os.ReadFile("testdata/segment.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:3000])
	f.Add(append(bytes.Clone(seed[:64]), seed...))
	f.Add([]byte{})
	empty := vfstest.NewCrashable()
	goldenDiskF(f, empty)
	f.Fuzz(func(t *testing.T, data []byte) {
		disk := empty.Clone()
		overwrite(t, disk, "segments/00000001.seg", data)
		for range 2 {
			s, err := chunkfs.Open(context.Background(), tiny(disk))
			require.NoError(t, err)
			infos, err := s.List(context.Background(), store.ChunkID{}, 1000)
			require.NoError(t, err)
			for _, info := range infos {
				requireSoundOrCorrupt(t, s, info.ID)
			}
			require.NoError(t, s.Compact(context.Background()))
			require.NoError(t, s.Close())
		}
		require.Zero(t, disk.OpenFiles())
	})
}

func requireSoundOrCorrupt(t *testing.T, s *chunkfs.Store, id store.ChunkID) {
	t.Helper()
	r, err := s.Open(context.Background(), id, 0, -1)
	for err == nil {
		var u chunk.Unit
		if u, err = r.Next(); err == nil {
			require.NoError(t, u.Check())
			u.Release()
		}
	}
	if r != nil {
		require.NoError(t, r.Close())
	}
	if !errors.Is(err, io.EOF) {
		require.ErrorIs(t, err, store.Corrupt)
	}
}

// goldenDiskF makes the directory of the golden files for a fuzz target.
func goldenDiskF(f *testing.F, disk *vfstest.Crashable) {
	f.Helper()
	s, err := chunkfs.Open(f.Context(), tiny(disk))
	require.NoError(f, err)
	require.NoError(f, put(s, fixedID(1), text(1, 2500), goldenLabel))
	require.NoError(f, put(s, fixedID(3), text(3, 3500), goldenLabel))
	require.NoError(f, s.Close())
}
