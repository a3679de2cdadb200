package metalog_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/metalog"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

var update = flag.Bool("update", false, "write the golden file")

func micros(n int64) time.Time { return time.UnixMicro(n).UTC() }

func anyFile(t *rapid.T) store.File {
	f := store.File{
		Bucket: store.BucketName(rapid.String().Draw(t, "bucket")), Key: store.Key(rapid.String().Draw(t, "key")),
		Size: rapid.Int64().Draw(t, "size"), ContentType: rapid.String().Draw(t, "type"), State: store.Complete,
		Latest: rapid.Bool().Draw(t, "latest"), DeleteMarker: rapid.Bool().Draw(t, "marker"),
		CreatedAt: micros(rapid.Int64Range(1, 1<<52).Draw(t, "created")), CompletedAt: micros(rapid.Int64Range(1, 1<<52).Draw(t, "completed")),
		CRC64: rapid.Uint64().Draw(t, "crc"), ETag: rapid.String().Draw(t, "etag"), ChangedBy: rapid.String().Draw(t, "caller"),
		Seq: rapid.Uint64().Draw(t, "seq"), Meta: rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "meta"),
	}
	copy(f.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	if rapid.Bool().Draw(t, "tag is id") {
		f.ETag = f.ID.ETag()
	}
	if rapid.Bool().Draw(t, "sha") {
		f.SHA256 = rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sha256")
	}
	if rapid.Bool().Draw(t, "tagged") {
		f.Attributes = attr.Set{Owner: rapid.String().Draw(t, "owner"), Tags: map[string]string{"name": rapid.StringMatching("[a-z]{0,9}").Draw(t, "tag")}}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "parts") {
		f.Parts = append(f.Parts, anyPart(t, i+1, f.CRC64))
	}
	return f
}

func anyPart(t *rapid.T, number int, crc uint64) store.Part {
	p := store.Part{
		Number: number, Size: rapid.Int64Range(0, store.MaxFileBytes).Draw(t, "part size"), K: rapid.IntRange(1, 32).Draw(t, "k"),
		M: rapid.IntRange(0, 32).Draw(t, "m"), UnitSize: rapid.IntRange(1, chunk.MaxUnitSize).Draw(t, "unit"), CRC64: crc,
	}
	copy(p.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "part"))
	if rapid.Bool().Draw(t, "md5") {
		p.Checksums = attr.Checksums{{Algorithm: attr.ChecksumMD5, Parts: rapid.IntRange(0, store.MaxParts).Draw(t, "of parts"), Value: rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "sum")}}
	}
	if rapid.Bool().Draw(t, "own crc") {
		p.CRC64 = rapid.Uint64().Draw(t, "part crc")
	}
	same := rapid.Bool().Draw(t, "equal sums")
	for i := range p.K + p.M {
		c := store.Placement{Node: store.NodeID{rapid.ByteRange(0, 9).Draw(t, "node")}, Sum: store.ChunkSum(rapid.Uint32().Draw(t, "sum"))}
		if same && i > 0 {
			c.Sum = p.Chunks[0].Sum
		}
		p.Chunks = append(p.Chunks, c)
	}
	return p
}

func anyRecord(t *rapid.T) store.LogRecord {
	r := store.LogRecord{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	f := anyFile(t)
	switch r.Kind {
	case store.FileStored:
		r.File = f
	case store.FileMoved, store.FileShown:
		r.File = store.File{ID: f.ID, Bucket: f.Bucket, Key: f.Key, Latest: f.Latest, Seq: f.Seq, ChangedBy: f.ChangedBy}
	case store.KeyHidden:
		r.File = store.File{Bucket: f.Bucket, Key: f.Key}
	case store.FileRemoved:
		r.File = store.File{ID: f.ID}
	case store.BucketStored:
		r.Bucket = store.Bucket{Name: f.Bucket, CreatedAt: f.CreatedAt, Survive: rapid.IntRange(-1, 3).Draw(t, "survive")}
		for i := range rapid.IntRange(0, 2).Draw(t, "documents") {
			r.Documents = append(r.Documents, attr.Document{Kind: attr.DocumentKinds[i], Revision: rapid.Uint64().Draw(t, "revision"), Body: []byte(rapid.StringN(1, 9, -1).Draw(t, "body"))})
		}
	case store.BucketGone:
		r.Bucket.Name = f.Bucket
	case store.AttributesSet:
		r.File = store.File{ID: f.ID, Attributes: f.Attributes}
	}
	return r
}

var kinds = []store.LogRecordKind{
	store.FileStored, store.FileMoved, store.FileShown, store.KeyHidden, store.FileRemoved, store.BucketStored, store.BucketGone, store.AttributesSet,
}

func requireSame(t require.TestingT, want, got any) {
	require.Empty(t, cmp.Diff(want, got, cmpopts.EquateEmpty()))
}

func TestSegmentsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64().Draw(t, "first")
		s := metalog.Segment{Records: rapid.SliceOfN(rapid.Custom(anyRecord), 0, 5).Draw(t, "records"), Header: metalog.Header{
			Cluster: store.NewClusterID(), Log: store.NewLogID(), Kind: rapid.SampledFrom([]store.LogSegmentKind{store.TailSegment, store.SnapshotSegment, store.SnapshotEnd}).Draw(t, "segment"),
			Term: rapid.Uint64().Draw(t, "term"), Number: rapid.Uint64().Draw(t, "number"), Group: rapid.Uint64().Draw(t, "group"), Piece: rapid.Uint64().Draw(t, "piece"),
			First: store.Revision(first), Last: store.Revision(rapid.Uint64Min(first).Draw(t, "last")), Written: micros(rapid.Int64Range(1, 1<<52).Draw(t, "written")),
		}}
		b, err := metalog.Encode(s)
		require.NoError(t, err)
		got, err := metalog.Decode(b)
		require.NoError(t, err)
		requireSame(t, s, got)

		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		broken := bytes.Clone(b)
		broken[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		_, err = metalog.Decode(broken)
		require.ErrorIs(t, err, store.Corrupt, "a changed bit is found")
		_, err = metalog.Decode(b[:at])
		require.ErrorIs(t, err, store.Corrupt, "so is a segment that was cut")
	})
}

// notInTheLog names the fields that the format does not have.
var notInTheLog = map[string]string{
	"File.State":   "every file of the log is complete",
	"File.Failure": "so none of them failed",
	"File.Marks":   "they follow from the parts, and the store sets them",
}

// TestEveryFieldIsInTheLog fails when a field is added to a file, a part or a bucket, or to what they consist of, that the format does not have
// and notInTheLog does not name.
func TestEveryFieldIsInTheLog(t *testing.T) {
	t.Parallel()
	var f store.File
	var b store.Bucket
	var d attr.Document
	fill(reflect.ValueOf(&d).Elem())
	fill(reflect.ValueOf(&f).Elem())
	fill(reflect.ValueOf(&b).Elem())
	for name, reason := range notInTheLog {
		field := reflect.ValueOf(&f).Elem().FieldByName(strings.TrimPrefix(name, "File."))
		require.True(t, field.IsValid(), "%s (%s) is no field", name, reason)
		field.SetZero()
	}
	f.State = store.Complete
	f.Parts[0].K, f.Parts[0].M, f.Parts[0].Chunks = 1, 0, f.Parts[0].Chunks[:1]
	f.Attributes.Checksums[0].Value = bytes.Repeat([]byte{8}, 8)
	f.Attributes.Lock.Mode = attr.Compliance
	f.Parts[0].Checksums[0].Value = bytes.Repeat([]byte{7}, 8) // as long as the algorithm 3 has it
	f.SHA256 = bytes.Repeat([]byte{7}, 32)
	s := metalog.Segment{Header: metalog.Header{Kind: store.TailSegment, Written: micros(1)}, Records: []store.LogRecord{{Kind: store.FileStored, File: f}, {Kind: store.BucketStored, Bucket: b, Documents: []attr.Document{d}}}}
	encoded, err := metalog.Encode(s)
	require.NoError(t, err)
	got, err := metalog.Decode(encoded)
	require.NoError(t, err)
	requireSame(t, s, got)
}

// fill sets every field to a value that is not its zero value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(micros(5)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"name": "value"}))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(3)
	default:
		panic("no value for " + v.Type().String())
	}
}

// typical returns files as clients store them: small ones of one part in copies, and larger ones in six data and four parity chunks.
func typical(parts int) []store.File {
	nodes := make([]store.NodeID, 20)
	for i := range nodes {
		nodes[i] = store.NewNodeID()
	}
	var files []store.File
	for i := range 200 {
		f := store.File{
			ID: store.NewFileID(), Bucket: "customer-photographs", Key: store.Key(fmt.Sprintf("albums/%08x/%d/IMG_%05d.original.jpeg", rand.Uint32(), i%30, i)),
			Size: int64(parts) << 20, ContentType: "application/octet-stream", State: store.Complete, Latest: true,
			CreatedAt: time.Now().Truncate(time.Microsecond), CompletedAt: time.Now().Truncate(time.Microsecond), CRC64: rand.Uint64(),
			SHA256: random(32), ETag: hex.EncodeToString(random(16)) + "-3", ChangedBy: "AKIAIOSFODNN7EXAMPLE",
			Meta: map[string]string{"mtime": "1727784000.123456789", "mode": "0644"},
		}
		k, m := 6, 4
		if parts == 1 {
			k, m = 1, 2
		}
		for n := range parts {
			p := store.Part{ID: store.NewPartID(), Number: n + 1, Size: 1 << 20, K: k, M: m, UnitSize: chunk.DefaultUnitSize, CRC64: rand.Uint64()}
			for i := range k + m {
				p.Chunks = append(p.Chunks, store.Placement{Node: nodes[(i*7+n)%20], Sum: store.ChunkSum(rand.Uint32())})
			}
			f.Parts = append(f.Parts, p)
		}
		files = append(files, f)
	}
	return files
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// TestSize: at most 512 bytes a file and 100 a part. The first part is in the 512 bytes.
func TestSize(t *testing.T) {
	t.Parallel()
	for _, parts := range []int{1, 8, 40} {
		var records []store.LogRecord
		files := typical(parts)
		for _, f := range files {
			records = append(records, store.LogRecord{Kind: store.FileStored, File: f})
		}
		b, err := metalog.Encode(metalog.Segment{Records: records})
		require.NoError(t, err)
		t.Logf("files of %d parts take %d bytes each", parts, len(b)/len(files))
		require.LessOrEqual(t, len(b), len(files)*(512+100*(parts-1)))

		one, err := metalog.Encode(metalog.Segment{Records: records[:1]})
		require.NoError(t, err)
		alone := 512 + 100*(parts-1) + 120 + 16*20 // the only one of its segment: with header and nodes
		require.LessOrEqual(t, len(one), alone)
	}
}

func TestTooManyRecords(t *testing.T) {
	t.Parallel()
	f := store.File{Key: store.Key(strings.Repeat("k", 1<<20))}
	var records []store.LogRecord
	for range 17 {
		records = append(records, store.LogRecord{Kind: store.FileStored, File: f})
	}
	_, err := metalog.Encode(metalog.Segment{Records: records})
	require.ErrorIs(t, err, store.Invalid)
	_, err = metalog.Encode(metalog.Segment{Records: []store.LogRecord{{}}})
	require.ErrorIs(t, err, store.Invalid)
}

// TestLargestFile: a file with as many parts and chunks as there may be fits into a segment.
func TestLargestFile(t *testing.T) {
	t.Parallel()
	f := store.File{Key: store.Key(strings.Repeat("k", store.MaxKeyBytes))}
	for n := range store.MaxParts {
		p := store.Part{ID: store.NewPartID(), Number: n + 1, Size: store.MaxFileBytes, K: 6, M: store.MaxChunksPerPart - 6, UnitSize: chunk.MaxUnitSize}
		for i := range store.MaxChunksPerPart {
			p.Chunks = append(p.Chunks, store.Placement{Node: store.NodeID{byte(i), byte(n), byte(n >> 8)}, Sum: store.ChunkSum(i*n + i)})
		}
		f.Parts = append(f.Parts, p)
	}
	for i := range f.Parts { // a cluster of a thousand nodes
		for j := range f.Parts[i].Chunks {
			f.Parts[i].Chunks[j].Node = f.Parts[i%16].Chunks[j].Node
		}
	}
	b, err := metalog.Encode(metalog.Segment{Header: metalog.Header{Kind: store.TailSegment}, Records: []store.LogRecord{{Kind: store.FileStored, File: f}}})
	require.NoError(t, err)
	require.Less(t, len(b), metalog.MaxSegment)
	_, err = metalog.Decode(b)
	require.NoError(t, err)
}

// example is the segment of the golden file.
func example() metalog.Segment {
	var a, b, n [16]byte
	for i := range 16 {
		a[i], b[i], n[i] = byte(i), byte(0x10+i), byte(0xa0+i)
	}
	f := store.File{
		ID: store.FileID(a), Bucket: "default", Key: "folder/file", Size: 10, ContentType: "text/plain", State: store.Complete, Latest: true,
		CreatedAt: micros(1700000000000000), CompletedAt: micros(1700000000500000), CRC64: 0x0102030405060708, ETag: store.FileID(a).ETag(),
		Meta: map[string]string{"colour": "blue"}, ChangedBy: "key", Attributes: attr.Set{
			Checksums: attr.Checksums{{Algorithm: attr.ChecksumSHA1, Parts: 2, Value: append(n[:], 1, 2, 3, 4)}}, Tags: map[string]string{"tag": "value", "empty": ""},
			Owner: "owner", Encryption: attr.Encryption{Algorithm: "AES256", KeyID: "id", Key: []byte{1, 2, 3}},
		},
		Parts: []store.Part{{
			ID: store.PartID(b), Number: 1, Size: 10, K: 1, M: 2, UnitSize: 262144, CRC64: 0x0102030405060708,
			Chunks:    []store.Placement{{Node: store.NodeID(n), Sum: 0x01020304}, {Node: store.NodeID(b), Sum: 0x01020304}, {Sum: 0x01020304}},
			Checksums: attr.Checksums{{Algorithm: attr.ChecksumCRC32C, Value: []byte{1, 2, 3, 4}}, {Algorithm: attr.ChecksumMD5, Value: n[:]}},
		}},
	}
	return metalog.Segment{
		Header: metalog.Header{
			Cluster: store.ClusterID(a), Log: store.LogID(b), Kind: store.TailSegment, Term: 3, Number: 7, First: 41, Last: 48, Written: micros(1700000001000000),
		},
		Records: []store.LogRecord{
			{Kind: store.BucketStored, Bucket: store.Bucket{Name: "default", CreatedAt: micros(1600000000000000), Survive: -1}, Documents: []attr.Document{
				{Kind: attr.DocumentCORS, Revision: 1700000000000000, Body: []byte("cors")}, {Kind: attr.DocumentPolicy, Revision: 5, Body: []byte{0, 0xff}},
			}},
			{Kind: store.KeyHidden, File: store.File{Bucket: "default", Key: "hidden"}},
			{Kind: store.FileStored, File: f},
			{Kind: store.FileMoved, File: store.File{ID: store.FileID(b), Bucket: "default", Key: "new name", Latest: true, ChangedBy: "key"}},
			{Kind: store.FileShown, File: store.File{ID: store.FileID(n), Bucket: "default", Key: "old name", Latest: true}},
			{Kind: store.AttributesSet, File: store.File{ID: store.FileID(n), Attributes: attr.Set{Lock: attr.Lock{Mode: attr.Compliance, Until: micros(1800000000000000), Hold: true}}}},
			{Kind: store.FileRemoved, File: store.File{ID: store.FileID(n)}},
			{Kind: store.BucketGone, Bucket: store.Bucket{Name: "photos"}},
		},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	const path = "testdata/segment.golden"
	got, err := metalog.Encode(example())
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	// The compressed bytes depend on the compressor: the file must read as the example, and have its header.
	require.Equal(t, want[:120], got[:120])
	s, err := metalog.Decode(want)
	require.NoError(t, err)
	requireSame(t, example(), s)
}

// FuzzDecode fuzzes segments with a correct checksum.
func FuzzDecode(f *testing.F) {
	b, err := metalog.Encode(example())
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		metalog.Reseal(b)
		s, err := metalog.Decode(b)
		if err != nil {
			require.ErrorIs(t, err, store.Corrupt)
			return
		}
		again, err := metalog.Encode(s)
		require.NoError(t, err)
		got, err := metalog.Decode(again)
		require.NoError(t, err)
		requireSame(t, s, got)
	})
}

// FuzzRecords fuzzes the records of a segment before they are compressed.
func FuzzRecords(f *testing.F) {
	b, err := metalog.AppendRecords(nil, example().Records)
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := metalog.ParseRecords(b)
		if err != nil {
			require.ErrorIs(t, err, store.Corrupt)
			return
		}
		again, err := metalog.AppendRecords(nil, records)
		require.NoError(t, err)
		got, err := metalog.ParseRecords(again)
		require.NoError(t, err)
		requireSame(t, records, got)
	})
}
