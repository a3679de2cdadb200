package form

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// memory is a File.
type memory struct{ *bytes.Reader }

func (m memory) Size() (int64, error) { return m.Reader.Size(), nil }

func inMemory(b []byte) memory { return memory{bytes.NewReader(b)} }

// segmentOf lays out chunks of the given sizes, each a batch of its own, then a
// tombstone, and gives the bytes, the ends of the records, and the index.
func segmentOf(sizes ...int) (b []byte, ends []int, lines []byte) {
	b = SegmentHeader(1)
	add := func(r Record, data []byte) {
		r.At, r.Batch = Place{Seg: 1, Off: uint32(len(b))}, uint64(len(ends)+1)
		b = append(r.AppendHeader(b), data...)
		b = append(b, make([]byte, int(r.At.Off)+int(r.Size())-len(b))...)
		lines = AppendIndexEntry(lines, &r)
		ends = append(ends, len(b))
	}
	for n, size := range sizes {
		data := bytes.Repeat([]byte{byte(n + 1)}, size)
		r := Record{Kind: KindChunk, Content: Content{CRCs: []uint32{store.CRC32C(data)}}}
		r.Info = store.ChunkInfo{ID: store.ChunkID{Index: uint8(n)}, UnitSize: size, Size: int64(size), Sum: SumOf(r.CRCs)}
		add(r, data)
	}
	add(Record{Kind: KindTombstone, Target: Place{Seg: 1, Off: SegmentHeaderSize}}, nil)
	return b, ends, lines
}

func offsets(recs []Record) (at []uint32) {
	for _, r := range recs {
		at = append(at, r.At.Off)
	}
	return at
}

func TestSealedAndOpenSegmentReadTheSame(t *testing.T) {
	t.Parallel()
	b, ends, lines := segmentOf(100, 3000, 1)
	scanned, whole, err := LoadSegment(inMemory(append(bytes.Clone(b), make([]byte, 5000)...)), 1)
	require.NoError(t, err)
	require.False(t, whole)
	sealed := append(append(bytes.Clone(b), lines...), SegmentFooter(1, lines, int64(len(b)))...)
	indexed, whole, err := LoadSegment(inMemory(sealed), 1)
	require.NoError(t, err)
	require.True(t, whole)
	require.Equal(t, []uint32{SegmentHeaderSize, uint32(ends[0]), uint32(ends[1]), uint32(ends[2])}, offsets(indexed))
	require.Equal(t, offsets(indexed), offsets(scanned))
	for i := range indexed {
		require.Equal(t, indexed[i].Size(), scanned[i].Size())
		require.Equal(t, indexed[i].Target, scanned[i].Target)
		require.Equal(t, indexed[i].Info.Sum, scanned[i].Info.Sum)
	}
	// The index of another segment, or a damaged one, is not believed.
	for bit := len(b) * 8; bit < len(sealed)*8; bit += 11 {
		hurt := bytes.Clone(sealed)
		hurt[bit/8] ^= 1 << (bit % 8)
		recs, whole, err := LoadSegment(inMemory(hurt), 1)
		require.NoError(t, err)
		require.False(t, whole, "byte %d", bit/8)
		require.Equal(t, offsets(indexed), offsets(recs))
	}
	recs, whole, err := LoadSegment(inMemory(sealed), 2)
	require.NoError(t, err)
	require.False(t, whole)
	require.Empty(t, recs)
}

func TestScanKeepsRotAndDropsWhatWasCut(t *testing.T) {
	t.Parallel()
	b, ends, _ := segmentOf(500, 500, 500)
	b = b[:ends[2]] // without the tombstone
	scan := func(b []byte) []Record {
		recs, err := scanSegment(bytes.NewReader(b), 1, int64(len(b)))
		require.NoError(t, err)
		return recs
	}
	for at := SegmentHeaderSize; at < len(b); at += 3 {
		hurt := bytes.Clone(b)
		hurt[at] ^= 0x10
		recs := scan(hurt)
		n := 0
		for at >= ends[n] {
			n++
		}
		header := at < ends[n]-500-2 // the data stands at the end, before two bytes of padding
		switch {
		case header || n == 2:
			require.LessOrEqual(t, len(recs), 3)
			require.GreaterOrEqual(t, len(recs), 2, "byte %d: one record at most is lost", at)
		default:
			require.Len(t, recs, 3)
			rotten := 0
			for _, r := range recs {
				if r.Rotten {
					rotten++
					require.EqualValues(t, n, r.Info.ID.Index)
				}
			}
			require.LessOrEqual(t, rotten, 1)
		}
	}
	for length := range len(b) {
		for _, r := range scan(b[:length]) {
			require.False(t, r.Rotten)
			require.LessOrEqual(t, int64(r.At.Off)+r.Head+r.Info.Size, int64(length))
		}
	}
}

func TestChunkFileReadsBackAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	id := store.ChunkID{Part: store.PartID{1}, Index: 2}
	data := bytes.Repeat([]byte("x"), 25)
	c := Content{CRCs: []uint32{store.CRC32C(data[:10]), store.CRC32C(data[:10]), store.CRC32C(data[:5])}}
	c.Info = store.ChunkInfo{ID: id, UnitSize: 10, Size: 25, Sum: SumOf(c.CRCs), StoredAt: 7, Label: store.Label{Key: store.Key(bytes.Repeat([]byte("k"), 6000))}}
	whole := append(append(FileHeader(store.ChunkSpec{ID: id, UnitSize: 10}), data...), FileTail(c)...)
	got, err := ReadChunkFile(inMemory(whole), id)
	require.NoError(t, err)
	require.Equal(t, c, got)

	refused := func(b []byte, id store.ChunkID) {
		t.Helper()
		_, err := ReadChunkFile(inMemory(b), id)
		require.ErrorIs(t, err, store.Corrupt)
	}
	other := id
	other.Index++
	refused(whole, other)
	refused(append(bytes.Clone(whole), 0), id)
	for length := 0; length < len(whole); length += 5 {
		refused(whole[:length], id)
	}
	for at := range whole {
		if at >= 64 && at < FileDataAt+len(data) {
			continue // what means nothing, and the data, which is checked unit by unit
		}
		hurt := bytes.Clone(whole)
		hurt[at] ^= 4
		refused(hurt, id)
	}
}
