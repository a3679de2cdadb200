package chunkfs

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// anyContent draws what a chunk may be.
func anyContent(t *rapid.T) content {
	c := content{crcs: rapid.SliceOfN(rapid.Uint32(), 1, 40).Draw(t, "crcs")}
	unit := rapid.IntRange(1, store.MaxUnitSize).Draw(t, "unit size")
	c.info = store.ChunkInfo{
		ID:       store.ChunkID{Part: store.PartID{0: rapid.Byte().Draw(t, "part"), 15: 1}, Index: rapid.Uint8().Draw(t, "index")},
		UnitSize: unit,
		Size:     int64(unit)*int64(len(c.crcs)-1) + int64(rapid.IntRange(1, unit).Draw(t, "last")),
		Sum:      sumOf(c.crcs),
		StoredAt: rapid.Int64().Draw(t, "stored at"),
		Label: store.Label{
			File:        store.FileID{3: rapid.Byte().Draw(t, "file")},
			Bucket:      store.BucketName(rapid.String().Draw(t, "bucket")),
			Key:         store.Key(rapid.String().Draw(t, "key")),
			ContentType: rapid.String().Draw(t, "type"),
			CreatedAt:   rapid.Int64().Draw(t, "created"),
			FileSize:    rapid.Int64().Draw(t, "file size"),
			PartNumber:  rapid.IntRange(0, 1<<32-1).Draw(t, "number"),
			PartOffset:  rapid.Int64().Draw(t, "offset"),
			PartSize:    rapid.Int64().Draw(t, "part size"),
			PartCRC64:   rapid.Uint64().Draw(t, "crc"),
			K:           rapid.IntRange(0, 1<<16-1).Draw(t, "k"),
			M:           rapid.IntRange(0, 1<<16-1).Draw(t, "m"),
			UnitSize:    rapid.IntRange(0, 1<<32-1).Draw(t, "unit"),
		},
	}
	return c
}

func TestRecordHeaderReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := record{kind: kindChunk, content: anyContent(t), at: place{rapid.Uint32().Draw(t, "seg"), rapid.Uint32().Draw(t, "off")}, batch: rapid.Uint64().Draw(t, "batch")}
		if rapid.Bool().Draw(t, "tombstone") {
			r.kind, r.target = kindTombstone, place{rapid.Uint32().Draw(t, "target"), rapid.Uint32().Draw(t, "at")}
			r.content = content{info: store.ChunkInfo{ID: r.info.ID}}
		}
		b := r.appendHeader([]byte("before"))[6:]
		require.EqualValues(t, len(b), r.head)
		got, ok := parseHeader(b, r.at)
		if r.info.Size > maxPackBelow {
			require.False(t, ok)
			return
		}
		require.True(t, ok)
		require.Empty(t, cmp.Diff(r, got, cmp.AllowUnexported(record{}, content{}, place{})))
		_, ok = parseHeader(b, place{r.at.seg, r.at.off + 8})
		require.False(t, ok, "at another place it is no record")
		_, ok = parseHeader(b, place{r.at.seg + 1, r.at.off})
		require.False(t, ok, "in another segment it is no record")

		line := appendIndexEntry(nil, &r)
		require.Len(t, line, indexEntrySize)
		entry := parseIndexEntry(line, r.at.seg)
		require.Equal(t, entryOf(&r), entryOf(&entry))
		require.Equal(t, r.target, entry.target)
		require.Equal(t, r.info.ID, entry.info.ID)
	})
}

func TestSumIsTheSameAsUnitByUnit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want store.ChunkSum
		crcs := rapid.SliceOf(rapid.Uint32()).Draw(t, "crcs")
		for _, c := range crcs {
			want = want.Add(c)
		}
		require.Equal(t, want, sumOf(crcs))
	})
}

func TestLabelBeyondTheFormatIsInvalid(t *testing.T) {
	t.Parallel()
	long := string(make([]byte, 1<<16))
	for _, l := range []store.Label{
		{Key: store.Key(long)},
		{Bucket: store.BucketName(long)},
		{ContentType: long},
		{PartNumber: -1},
		{PartNumber: 1 << 32},
		{K: -1},
		{K: 1 << 16},
		{M: 1 << 16},
		{UnitSize: -1},
		{UnitSize: 1 << 32},
	} {
		require.ErrorIs(t, checkLabel(l), store.Invalid)
	}
	require.NoError(t, checkLabel(store.Label{Key: store.Key(long[1:]), Bucket: store.BucketName(long[1:]), ContentType: long[1:]}))
}

// reseal puts right the checksum in the last four bytes, so that a fuzzer gets past it.
func reseal(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= 4 {
		le.PutUint32(b[len(b)-4:], store.CRC32C(b[:len(b)-4]))
	}
	return b
}

// FuzzParseHeader goes behind the checksum of a record's header.
func FuzzParseHeader(f *testing.F) {
	at := place{1, 64}
	chunk := record{kind: kindChunk, at: at, content: content{crcs: []uint32{1, 2}, info: store.ChunkInfo{UnitSize: 10, Size: 15, Label: store.Label{Key: "k"}}}}
	chunk.info.Sum = sumOf(chunk.crcs)
	stone := record{kind: kindTombstone, at: at}
	f.Add(chunk.appendHeader(nil))
	f.Add(stone.appendHeader(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = reseal(b)
		r, ok := parseHeader(b, at)
		if !ok {
			return
		}
		require.True(t, r.size() > 0 && r.head == int64(len(b)))
		if r.kind == kindChunk {
			require.EqualValues(t, unitsIn(r.info.Size, r.info.UnitSize), len(r.crcs))
			require.Len(t, r.appendHeader(nil), len(b), "nothing in it is unread")
		}
	})
}

// FuzzFileTail goes behind the checksums of a chunk file's end.
func FuzzFileTail(f *testing.F) {
	c := content{crcs: []uint32{7, 8}, info: store.ChunkInfo{UnitSize: 10, Size: 15, Label: store.Label{Key: "k"}}}
	c.info.Sum = sumOf(c.crcs)
	f.Add(fileTail(c))
	f.Fuzz(func(t *testing.T, tail []byte) {
		if len(tail) < fileFooterSize {
			return
		}
		tail = bytes.Clone(tail)
		inner := len(tail) - fileFooterSize
		binary.LittleEndian.PutUint32(tail[inner+60:], store.CRC32C(tail[:inner]))
		copy(tail[inner:], reseal(tail[inner:]))
		disk := vfs.NewCrashable()
		file, err := disk.Create("f")
		require.NoError(t, err)
		_, err = file.WritevAt([][]byte{fileHeader(store.ChunkSpec{UnitSize: 10}), make([]byte, 15), tail}, 0)
		require.NoError(t, err)
		got, err := readChunkFile(file, store.ChunkID{})
		require.NoError(t, file.Close())
		if err != nil {
			require.ErrorIs(t, err, store.Corrupt)
			return
		}
		require.EqualValues(t, unitsIn(got.info.Size, got.info.UnitSize), len(got.crcs))
		require.Equal(t, sumOf(got.crcs), got.info.Sum)
	})
}

// TestHalfADeleteShowsTheCopy: of two tombstones of one Delete, a cut left the
// one of the entry; the copy that was not buried is the chunk, until it is deleted again.
func TestHalfADeleteShowsTheCopy(t *testing.T) {
	t.Parallel()
	s := assemble(Config{FS: vfs.NewCrashable()})
	id := store.ChunkID{Part: store.PartID{1}}
	at := func(seg, off uint32) record {
		return record{kind: kindChunk, at: place{seg, off}, head: 100, content: content{info: store.ChunkInfo{ID: id, Size: 20}}}
	}
	for n := uint32(1); n <= 3; n++ {
		s.table.add(newSegment(n, nil))
	}
	stone := record{kind: kindTombstone, at: place{3, 64}, head: tombstoneSize, target: place{2, 64}, content: content{info: store.ChunkInfo{ID: id}}}
	useless := stone
	useless.target.seg, useless.at.off = 9, 136
	s.apply([][]record{{at(1, 64)}, {at(2, 64)}, {stone, useless}})
	e, ok := s.index.find(id, nil)
	require.True(t, ok)
	require.Equal(t, place{1, 64}, e.place())
	require.Empty(t, s.index.shadowsOf(id))
	require.EqualValues(t, 120, s.table.all[1].live)
	require.EqualValues(t, 0, s.table.all[2].live)
	require.EqualValues(t, 72, s.table.all[3].live, "the tombstone is needed while segment 2 is there")
	s.table.drop(s.table.all[2])
	require.EqualValues(t, 0, s.table.all[3].live)
}

func TestFewSmallSegmentsStayManyAreMerged(t *testing.T) {
	t.Parallel()
	table := &segments{all: map[uint32]*segment{}}
	for n := uint32(1); n <= smallCount; n++ {
		require.Empty(t, table.worthy(1000))
		seg := newSegment(n, nil)
		seg.size, seg.live, seg.closed = 100, 90, true
		table.add(seg)
	}
	require.Len(t, table.worthy(1000), smallCount)
	table.all[1].closed = false
	require.Empty(t, table.worthy(1000))
	table.all[2].live = 10
	require.Equal(t, []*segment{table.all[2]}, table.worthy(1000))
	table.all[2].spoiled = true
	require.Empty(t, table.worthy(1000))
}

// TestTableIsAMap compares with Go's map, on few ids so that they collide.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var got table
		want := map[store.ChunkID]entry{}
		id := rapid.Custom(func(t *rapid.T) store.ChunkID {
			return store.ChunkID{Part: store.PartID{15: 1 + rapid.ByteRange(0, 40).Draw(t, "part")}, Index: rapid.Uint8Range(0, 3).Draw(t, "index")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				at, e := id.Draw(t, "id"), entry{off: rapid.Uint32().Draw(t, "off")}
				got.put(at, e)
				want[at] = e
			},
			"remove": func(t *rapid.T) {
				at := id.Draw(t, "id")
				got.remove(at)
				delete(want, at)
			},
			"": func(t *rapid.T) {
				all := map[store.ChunkID]entry{}
				got.each(func(id store.ChunkID, e entry) { all[id] = e })
				require.Equal(t, want, all)
				require.Equal(t, len(want), got.n)
				for at, e := range want {
					found, ok := got.get(at)
					require.True(t, ok)
					require.Equal(t, e, found)
				}
				other := id.Draw(t, "other")
				_, ok := want[other]
				_, found := got.get(other)
				require.Equal(t, ok, found)
			},
		})
	})
}
