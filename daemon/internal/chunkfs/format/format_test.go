package format

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// anyContent draws an arbitrary valid content.
func anyContent(t *rapid.T) Content {
	c := Content{CRCs: rapid.SliceOfN(rapid.Uint32(), 1, 40).Draw(t, "crcs")}
	for range rapid.IntRange(0, 3).Draw(t, "fields") {
		value := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value")
		c.Ext = le.AppendUint16(c.Ext, rapid.Uint16().Draw(t, "type"))
		c.Ext = append(le.AppendUint16(c.Ext, uint16(len(value))), value...)
	}
	unit := rapid.IntRange(1, chunk.MaxUnitSize).Draw(t, "unit size")
	c.Info = chunk.Info{
		ID:       store.ChunkID{Part: store.PartID{0: rapid.Byte().Draw(t, "part"), 15: 1}, Index: rapid.Uint8().Draw(t, "index")},
		UnitSize: unit,
		Size:     int64(unit)*int64(len(c.CRCs)-1) + int64(rapid.IntRange(1, unit).Draw(t, "last")),
		Sum:      SumOf(c.CRCs),
		StoredAt: rapid.Int64().Draw(t, "stored at"),
		Label: chunk.Label{
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
		r := Record{Kind: KindChunk, Content: anyContent(t), At: Place{rapid.Uint32().Draw(t, "seg"), rapid.Uint32().Draw(t, "off")}, Batch: rapid.Uint64().Draw(t, "batch")}
		salt := Salt(rapid.Uint64().Draw(t, "salt"))
		if rapid.Bool().Draw(t, "tombstone") {
			r.TargetSalt = Salt(rapid.Uint64().Draw(t, "target's salt"))
			r.Kind, r.Target = KindTombstone, Place{rapid.Uint32().Draw(t, "target"), rapid.Uint32().Draw(t, "at")}
			r.Content = Content{Info: chunk.Info{ID: r.Info.ID}}
		}
		b := r.AppendHeader([]byte("before"), salt)[6:]
		require.EqualValues(t, len(b), r.Head)
		got, ok := ParseHeader(b, r.At, salt)
		if r.Info.Size > MaxPackBelow {
			require.False(t, ok)
			return
		}
		require.True(t, ok)
		require.Empty(t, cmp.Diff(r, got, cmp.AllowUnexported(Record{}, Content{}, Place{})))
		_, ok = ParseHeader(b, Place{r.At.Seg, r.At.Off + 8}, salt)
		require.False(t, ok, "at another place it is no record")
		_, ok = ParseHeader(b, Place{r.At.Seg + 1, r.At.Off}, salt)
		require.False(t, ok, "in another segment it is no record")
		_, ok = ParseHeader(b, r.At, salt+1)
		require.False(t, ok, "in an earlier segment of the same number it is no record")
		moved := bytes.Clone(b)
		le.PutUint64(moved[24:], uint64(salt+1))
		_, ok = ParseHeader(moved, r.At, salt+1)
		require.False(t, ok, "the salt is under the checksum")

		line := AppendIndexEntry(nil, &r)
		require.Len(t, line, indexEntrySize)
		entry := parseIndexEntry(line, r.At.Seg)
		require.Equal(t, r.At, entry.At)
		require.Equal(t, r.Head, entry.Head)
		require.Equal(t, r.Size(), entry.Size())
		require.Equal(t, r.Info.Sum, entry.Info.Sum)
		require.Equal(t, r.Target, entry.Target)
		require.Equal(t, r.TargetSalt, entry.TargetSalt)
		require.Equal(t, r.Info.ID, entry.Info.ID)
	})
}

// TestExtensionOfTheLabel: fields of later versions are preserved, malformed ones are refused.
func TestExtensionOfTheLabel(t *testing.T) {
	t.Parallel()
	l := chunk.Label{Bucket: "b", Key: "k"}
	for _, ext := range [][]byte{nil, {1, 0, 0, 0}, {1, 0, 2, 0, 7, 8, 2, 0, 1, 0, 9}} {
		got, kept, ok := parseLabel(appendLabel(nil, l, ext))
		require.True(t, ok)
		require.Equal(t, l, got)
		require.Equal(t, ext, kept)
	}
	for _, bad := range [][]byte{{1}, {1, 0, 1, 0}, {1, 0, 0, 0, 5}} {
		_, _, ok := parseLabel(appendLabel(nil, l, bad))
		require.False(t, ok)
	}
}

func TestSumIsTheSameAsUnitByUnit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want store.ChunkSum
		crcs := rapid.SliceOf(rapid.Uint32()).Draw(t, "crcs")
		for _, c := range crcs {
			want = want.Add(c)
		}
		require.Equal(t, want, SumOf(crcs))
	})
}

func TestLabelBeyondTheFormatIsInvalid(t *testing.T) {
	t.Parallel()
	long := string(make([]byte, 1<<16))
	for _, l := range []chunk.Label{
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
		require.ErrorIs(t, CheckLabel(l), store.Invalid)
	}
	require.NoError(t, CheckLabel(chunk.Label{Key: store.Key(long[1:]), Bucket: store.BucketName(long[1:]), ContentType: long[1:]}))
}

// reseal corrects the checksum in the last four bytes, so that a fuzzer gets past it.
func reseal(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= 4 {
		le.PutUint32(b[len(b)-4:], chunk.CRC32C(b[:len(b)-4]))
	}
	return b
}

// FuzzParseHeader fuzzes a record's header with a correct checksum.
func FuzzParseHeader(f *testing.F) {
	at := Place{1, 64}
	chunk := Record{Kind: KindChunk, At: at, Content: Content{CRCs: []uint32{1, 2}, Info: chunk.Info{UnitSize: 10, Size: 15, Label: chunk.Label{Key: "k"}}}}
	chunk.Info.Sum = SumOf(chunk.CRCs)
	tombstone := Record{Kind: KindTombstone, At: at}
	f.Add(chunk.AppendHeader(nil, 5))
	f.Add(tombstone.AppendHeader(nil, 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		if len(b) >= 4 {
			le.PutUint32(b[len(b)-4:], recordCRC(at.Seg, b[:len(b)-4]))
		}
		r, ok := ParseHeader(b, at, 5)
		if !ok {
			return
		}
		require.True(t, r.Size() > 0 && r.Head == int64(len(b)))
		if r.Kind == KindChunk {
			require.EqualValues(t, UnitsIn(r.Info.Size, r.Info.UnitSize), len(r.CRCs))
			require.Len(t, r.AppendHeader(nil, 5), len(b), "nothing in it is unread")
		}
	})
}

// FuzzFileTail fuzzes the end of a chunk file with correct checksums.
func FuzzFileTail(f *testing.F) {
	c := Content{CRCs: []uint32{7, 8}, Info: chunk.Info{UnitSize: 10, Size: 15, Label: chunk.Label{Key: "k"}}}
	c.Info.Sum = SumOf(c.CRCs)
	f.Add(FileTail(c))
	f.Fuzz(func(t *testing.T, tail []byte) {
		if len(tail) < FileFooterSize {
			return
		}
		tail = bytes.Clone(tail)
		inner := len(tail) - FileFooterSize
		binary.LittleEndian.PutUint32(tail[inner+60:], boundCRC(store.ChunkID{}, tail[:inner]))
		copy(tail[inner:], reseal(tail[inner:]))
		disk := vfstest.NewCrashable()
		file, err := disk.Create("f")
		require.NoError(t, err)
		_, err = file.WritevAt([][]byte{FileHeader(chunk.Spec{UnitSize: 10}), make([]byte, 15), tail}, 0)
		require.NoError(t, err)
		got, err := ReadChunkFile(file, store.ChunkID{})
		require.NoError(t, file.Close())
		if err != nil {
			require.ErrorIs(t, err, store.Corrupt)
			return
		}
		require.EqualValues(t, UnitsIn(got.Info.Size, got.Info.UnitSize), len(got.CRCs))
		require.Equal(t, SumOf(got.CRCs), got.Info.Sum)
	})
}
