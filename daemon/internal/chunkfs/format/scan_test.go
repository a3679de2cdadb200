package format

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// memory is a File.
type memory struct{ *bytes.Reader }

func (m memory) Size() (int64, error) { return m.Reader.Size(), nil }

func inMemory(b []byte) memory { return memory{bytes.NewReader(b)} }

const salt = Salt(0x5a17_5a17_5a17_5a17)

// load reads a segment that may be the newest, or may not.
func load(t *testing.T, b []byte, number uint32, mayBeTorn bool) Segment {
	t.Helper()
	s, err := loadSegment(inMemory(b), number, mayBeTorn)
	require.NoError(t, err)
	return s
}

// segmentOf encodes chunks of the given sizes, each a batch of its own, then a tombstone, and
// returns the bytes, the ends of the records, and the index.
func segmentOf(sizes ...int) (b []byte, ends []int, lines []byte) {
	b = SegmentHeader(1, salt)
	add := func(r Record, data []byte) {
		r.At, r.Batch = Place{Seg: 1, Off: uint32(len(b))}, uint64(len(ends)+1)
		b = append(r.AppendHeader(b, salt), data...)
		b = append(b, make([]byte, int(r.At.Off)+int(r.Size())-len(b))...)
		lines = AppendIndexEntry(lines, &r)
		ends = append(ends, len(b))
	}
	for n, size := range sizes {
		data := bytes.Repeat([]byte{byte(n + 1)}, size)
		r := Record{Kind: KindChunk, Content: Content{CRCs: []uint32{chunk.CRC32C(data)}}}
		r.Info = chunk.Info{ID: store.ChunkID{Index: uint8(n)}, UnitSize: size, Size: int64(size), Sum: SumOf(r.CRCs)}
		add(r, data)
	}
	add(Record{Kind: KindTombstone, Target: Place{Seg: 1, Off: SegmentHeaderSize}, TargetSalt: salt}, nil)
	return b, ends, lines
}

func offsets(recs []Record) (at []uint32) {
	for _, r := range recs {
		at = append(at, r.At.Off)
	}
	return at
}

// decoded returns the records of a segment, of which those of a sealed one are decoded when they are needed.
func decoded(s *Segment) (all []Record) {
	for r := range s.All() {
		all = append(all, *r)
	}
	return all
}

func TestSealedAndOpenSegmentReadTheSame(t *testing.T) {
	t.Parallel()
	b, ends, lines := segmentOf(100, 3000, 1)
	scanned := load(t, append(bytes.Clone(b), make([]byte, 5000)...), 1, true)
	require.False(t, scanned.Whole)
	footer := SegmentFooter(1, salt, lines, int64(len(b)))
	sealed := append(append(bytes.Clone(b), lines...), footer...)
	indexed := load(t, sealed, 1, false)
	require.True(t, indexed.Whole)
	require.Equal(t, len(ends), indexed.Len())
	for first := range indexed.All() {
		require.EqualValues(t, SegmentHeaderSize, first.At.Off)
		break
	}
	require.Equal(t, []uint32{SegmentHeaderSize, uint32(ends[0]), uint32(ends[1]), uint32(ends[2])}, offsets(decoded(&indexed)))
	require.Equal(t, offsets(decoded(&indexed)), offsets(decoded(&scanned)))
	require.Equal(t, salt, indexed.Salt)
	require.Equal(t, salt, scanned.Salt)
	require.Equal(t, scanned.End, indexed.End)
	for i, r := range decoded(&indexed) {
		require.Equal(t, r.Size(), scanned.Records[i].Size())
		require.Equal(t, r.Target, scanned.Records[i].Target)
		require.Equal(t, r.Info.Sum, scanned.Records[i].Info.Sum)
	}
	// A damaged index is not used, and the end is not taken for an interrupted write.
	for bit := len(b) * 8; bit < len(sealed)*8; bit += 11 {
		hurt := bytes.Clone(sealed)
		hurt[bit/8] ^= 1 << (bit % 8)
		for _, newest := range []bool{false, true} {
			read := load(t, hurt, 1, newest)
			require.False(t, read.Whole, "byte %d", bit/8)
			require.Equal(t, offsets(decoded(&indexed)), offsets(decoded(&read)))
			require.Empty(t, read.Torn, "byte %d", bit/8)
			inFooter := bit/8 >= len(sealed)-len(footer)
			if hurt[bit/8] != 0 { // a missing byte may be an interrupted sealing
				require.Equal(t, !inFooter && !newest, read.Damage.Any(), "byte %d: with the index whole nothing else can be missing", bit/8)
			}
		}
	}
	require.True(t, load(t, sealed, 2, true).Foreign)
	// Neither is it where sectors of the index did not reach the disk, which has other bytes there.
	for from := len(b); from < len(sealed)-len(footer); from += 5 {
		cut := bytes.Clone(sealed)
		copy(cut[len(b):from], bytes.Repeat([]byte{0xa7}, from-len(b)))
		read := load(t, cut, 1, true)
		require.False(t, read.Damage.Any(), "%d bytes", from-len(b))
		require.Equal(t, offsets(decoded(&indexed)), offsets(decoded(&read)))
		if from > len(b) {
			older := load(t, cut, 1, false)
			require.True(t, older.Damage.Any(), "an older segment was sealed before the next was begun")
		}
	}
	// An interrupted sealing is no damage: it loses no record.
	for length := len(b); length < len(sealed); length += 7 {
		read := load(t, append(bytes.Clone(sealed[:length]), make([]byte, length%13)...), 1, false)
		require.False(t, read.Damage.Any(), "%d bytes", length)
		require.Equal(t, offsets(decoded(&indexed)), offsets(decoded(&read)))
	}
}

// TestDamageIsNotTakenForACut flips bytes of an open segment: in the newest one, the last batch
// may be an interrupted write; everything else, and everything in an older segment, was
// acknowledged, and is kept and counted.
func TestDamageIsNotTakenForACut(t *testing.T) {
	t.Parallel()
	b, ends, _ := segmentOf(500, 500, 500)
	b = b[:ends[2]] // without the tombstone
	for at := SegmentHeaderSize; at < len(b); at += 3 {
		hurt := bytes.Clone(b)
		hurt[at] ^= 0x10
		n := 0
		for at >= ends[n] {
			n++
		}
		header := at < ends[n]-500-2 // the data is at the end, before two bytes of padding
		padding := at >= ends[n]-2
		for _, newest := range []bool{true, false} {
			read := load(t, hurt, 1, newest)
			begin := append([]int{SegmentHeaderSize}, ends...)[n]
			// Without its batch or its salt, a record before the last batch may be part of that batch.
			unclear := at >= begin+16 && at < begin+32
			torn := newest && (n == 2 || n == 1 && unclear)
			switch {
			case padding:
				require.Len(t, read.Records, 3)
			case torn:
				require.Len(t, read.Records, 2)
				require.NotEmpty(t, read.Torn)
				require.False(t, read.Damage.Any())
			case header:
				require.Len(t, read.Records, 2, "byte %d: what lies behind is found", at)
				require.Equal(t, 1, read.Damage.Lost)
				if at < begin+24 || at >= begin+32 { // without its salt the segment that wrote it is unknown
					require.Len(t, read.Damage.Suspects, 1, "byte %d", at)
				}
			default:
				require.Len(t, read.Records, 3)
				require.True(t, read.Records[n].BadData)
				require.Equal(t, Damage{BadData: 1}, read.Damage)
			}
		}
	}
	for length := SegmentHeaderSize; length < len(b); length++ {
		read := load(t, b[:length], 1, true)
		require.False(t, read.Damage.Any())
		for _, r := range read.Records {
			require.LessOrEqual(t, int64(r.At.Off)+r.Head+r.Info.Size, int64(length))
		}
	}
}

// TestSuspectsKeepWhatTheySay: a damaged header mostly still has its kind and id.
func TestSuspectsKeepWhatTheySay(t *testing.T) {
	t.Parallel()
	b, ends, _ := segmentOf(500, 500)
	hurt := bytes.Clone(b)
	hurt[ends[0]+17] ^= 1 // the batch of the second chunk
	hurt[ends[1]+18] ^= 1 // and of the tombstone
	read := load(t, hurt, 1, false)
	require.Len(t, read.Damage.Suspects, 2)
	chunk, tombstone := read.Damage.Suspects[0], read.Damage.Suspects[1]
	require.Equal(t, KindChunk, chunk.Kind)
	require.EqualValues(t, 1, chunk.Info.ID.Index)
	require.Equal(t, KindTombstone, tombstone.Kind)
	require.Equal(t, Place{Seg: 1, Off: SegmentHeaderSize}, tombstone.Target)
	require.Equal(t, salt, tombstone.TargetSalt)
}

// TestHeaderOfASegmentLost: the salt is taken from the records.
func TestHeaderOfASegmentLost(t *testing.T) {
	t.Parallel()
	b, _, _ := segmentOf(500, 500, 500)
	want := load(t, b, 1, false)
	clear(b[:SegmentHeaderSize])
	read := load(t, b, 1, false)
	require.Equal(t, salt, read.Salt)
	require.Equal(t, offsets(want.Records), offsets(decoded(&read)))
}

// TestUserBytesAreNoRecords: of a chunk whose data are encoded records with the right place and
// number, none is found when the chunk's own header is lost.
func TestUserBytesAreNoRecords(t *testing.T) {
	t.Parallel()
	evil := make([]byte, 0, 4096)
	const begins = 136 + SegmentHeaderSize // offset of the first chunk's data
	for len(evil) < 3000 {
		r := Record{Kind: KindTombstone, Target: Place{Seg: 1, Off: SegmentHeaderSize}, TargetSalt: 1, Batch: 1, At: Place{Seg: 1, Off: uint32(begins + len(evil))}}
		r.Info.ID.Index = 66
		evil = r.AppendHeader(evil, salt+1) // clients cannot know the salt
	}
	b := SegmentHeader(1, salt)
	r := Record{Kind: KindChunk, Batch: 1, At: Place{Seg: 1, Off: SegmentHeaderSize}, Content: Content{CRCs: []uint32{chunk.CRC32C(evil)}}}
	r.Info = chunk.Info{UnitSize: len(evil), Size: int64(len(evil)), Sum: SumOf(r.CRCs)}
	b = r.AppendHeader(b, salt)
	for len(b)%RecordAlign != 0 {
		b = append(b, 0)
	}
	b = append(b, evil...)
	b[SegmentHeaderSize+20] ^= 1
	read := load(t, b, 1, false)
	require.Empty(t, read.Records)
	require.Len(t, read.Damage.Suspects, 1, "the one that is damaged")
}

// badSectors is a file of which some bytes cannot be read.
type badSectors struct {
	memory
	bad Span
}

func (f badSectors) ReadAt(p []byte, off int64) (int, error) {
	if off < f.bad.To && f.bad.From < off+int64(len(p)) {
		return 0, syscall.EIO
	}
	return f.memory.ReadAt(p, off)
}

// TestScanReadsAroundBadSectors: an unreadable block costs the records in it, and only those.
func TestScanReadsAroundBadSectors(t *testing.T) {
	t.Parallel()
	sizes := make([]int, 40)
	for i := range sizes {
		sizes[i] = 3000
	}
	b, ends, _ := segmentOf(sizes...)
	for block := int64(0); block*4096 < int64(len(b)); block++ {
		bad := Span{block * 4096, min((block+1)*4096, int64(len(b)))}
		for _, newest := range []bool{true, false} {
			read, err := loadSegment(badSectors{inMemory(b), bad}, 1, newest)
			require.NoError(t, err)
			require.Equal(t, bad.To-bad.From, read.Damage.Unreadable, "block %d", block)
			sound := map[uint32]bool{}
			for _, r := range read.Records {
				sound[r.At.Off] = !r.BadData
			}
			from := int64(SegmentHeaderSize)
			for _, end := range ends {
				if hit := from < bad.To && bad.From < int64(end); !hit {
					require.True(t, sound[uint32(from)], "block %d, record at %d", block, from)
				}
				from = int64(end)
			}
			require.Empty(t, read.Torn, "the disk failed, no write was cut")
		}
	}
}

func TestChunkFileReadsBackAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	id := store.ChunkID{Part: store.PartID{1}, Index: 2}
	data := bytes.Repeat([]byte("x"), 25)
	c := Content{CRCs: []uint32{chunk.CRC32C(data[:10]), chunk.CRC32C(data[:10]), chunk.CRC32C(data[:5])}}
	c.Info = chunk.Info{ID: id, UnitSize: 10, Size: 25, Sum: SumOf(c.CRCs), StoredAt: 7, Label: chunk.Label{Key: store.Key(bytes.Repeat([]byte("k"), 6000))}}
	whole := append(append(FileHeader(chunk.Spec{ID: id, UnitSize: 10}), data...), FileTail(c)...)
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
			continue // bytes without meaning, and the data, which is checked unit by unit
		}
		hurt := bytes.Clone(whole)
		hurt[at] ^= 4
		refused(hurt, id)
	}
}
