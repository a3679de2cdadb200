package metalog

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The records of a segment are a table of nodes and then fields, each a type, a length and a value (parse.go). The types of the fields are the kinds of
// store.LogRecord; 32 is reserved for what of an encrypted file is sealed with its key.

// The flags of a file.
const (
	flagLatest = 1 << iota
	flagDeleteMarker
	flagTagIsID // the entity tag is that of the id
	flagSHA256
	flagOneSum // there is one part, and its CRC64 is that of the file
	flagAttributes
)

// The flags of a part.
const (
	partOneSum    = 1 // all chunks have the same sum
	partChecksums = 2 // checksums follow
)

// appendRecords encodes the records with the table of the nodes that they name.
func appendRecords(b []byte, records []store.LogRecord) ([]byte, error) {
	nodes := tableOf(records)
	b = binary.AppendUvarint(b, uint64(len(nodes.ids)))
	for _, id := range nodes.ids {
		b = append(b, id[:]...)
	}
	for _, r := range records {
		var body []byte
		switch r.Kind {
		case store.FileStored:
			body = appendFile(nil, r.File, nodes)
		case store.FileMoved, store.FileShown:
			body = appendMoved(nil, r.File)
		case store.KeyHidden:
			body = appendString(appendString(nil, string(r.File.Bucket)), string(r.File.Key))
		case store.FileRemoved:
			body = r.File.ID[:]
		case store.BucketStored:
			body = appendString(nil, string(r.Bucket.Name))
			body = appendTime(body, r.Bucket.CreatedAt)
			body = binary.AppendVarint(body, int64(r.Bucket.Survive))
			body = appendDocuments(body, r.Documents)
		case store.BucketGone:
			body = appendString(nil, string(r.Bucket.Name))
		case store.AttributesSet:
			body = appendString(slices.Clone(r.File.ID[:]), string(pack.Attributes(r.File.Attributes)))
		default:
			return nil, store.Errorf(store.Invalid, "a log record of kind %d cannot be stored", r.Kind)
		}
		b = appendField(b, byte(r.Kind), body)
	}
	return b, nil
}

// nodeTable are the nodes that a segment names; a chunk has the index of its node, from 1, or 0 for no node.
type nodeTable struct {
	ids   []store.NodeID
	index map[store.NodeID]uint64
}

// tableOf collects the nodes, those that are named most often first, so that their indexes are short.
func tableOf(records []store.LogRecord) nodeTable {
	count := map[store.NodeID]int{}
	for _, r := range records {
		for _, p := range r.File.Parts {
			for _, c := range p.Chunks {
				count[c.Node]++
			}
		}
	}
	delete(count, store.NodeID{})
	t := nodeTable{index: map[store.NodeID]uint64{}}
	t.ids = slices.SortedFunc(maps.Keys(count), func(a, b store.NodeID) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return slices.Compare(a[:], b[:])
	})
	for i, id := range t.ids {
		t.index[id] = uint64(i) + 1
	}
	return t
}

func appendFile(b []byte, f store.File, nodes nodeTable) []byte {
	flags := fileFlags(f)
	b = append(b, f.ID[:]...)
	b = binary.AppendUvarint(b, flags)
	b = appendString(b, string(f.Bucket))
	b = appendString(b, string(f.Key))
	b = appendString(b, f.ContentType)
	b = binary.AppendVarint(b, f.Size)
	b = appendTime(b, f.CreatedAt)
	b = appendTime(b, f.CompletedAt)
	b = binary.AppendUvarint(b, f.Seq)
	b = le.AppendUint64(b, f.CRC64)
	if flags&flagSHA256 != 0 {
		b = append(b, f.SHA256...)
	}
	if flags&flagTagIsID == 0 {
		b = appendString(b, f.ETag)
	}
	b = appendString(b, f.ChangedBy)
	b = binary.AppendUvarint(b, uint64(len(f.Meta)))
	for _, name := range slices.Sorted(maps.Keys(f.Meta)) {
		b = appendString(appendString(b, name), f.Meta[name])
	}
	if flags&flagAttributes != 0 {
		b = appendString(b, string(pack.Attributes(f.Attributes)))
	}
	b = binary.AppendUvarint(b, uint64(len(f.Parts)))
	for _, p := range f.Parts {
		b = appendPart(b, p, nodes, flags&flagOneSum != 0)
	}
	return b
}

func fileFlags(f store.File) (flags uint64) {
	for flag, set := range map[uint64]bool{
		flagLatest: f.Latest, flagDeleteMarker: f.DeleteMarker, flagTagIsID: f.ETag == f.ID.ETag(),
		flagSHA256: len(f.SHA256) == 32, flagOneSum: len(f.Parts) == 1 && f.Parts[0].CRC64 == f.CRC64,
		flagAttributes: !f.Attributes.IsZero(),
	} {
		if set {
			flags |= flag
		}
	}
	return flags
}

// appendPart encodes a part. The chunks of copies are equal, so they have one sum.
func appendPart(b []byte, p store.Part, nodes nodeTable, noCRC bool) []byte {
	b = append(b, p.ID[:]...)
	for _, n := range [...]int64{int64(p.Number), p.Size, int64(p.K), int64(p.M), int64(p.UnitSize)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	if !noCRC {
		b = le.AppendUint64(b, p.CRC64)
	}
	one, sums := equalSums(p), pack.Checksums(p.Checksums)
	if sums == nil {
		b = append(b, one)
	} else {
		b = appendString(append(b, one|partChecksums), string(sums))
	}
	for i, c := range p.Chunks {
		b = binary.AppendUvarint(b, nodes.index[c.Node])
		if one == 0 || i == 0 {
			b = le.AppendUint32(b, uint32(c.Sum))
		}
	}
	return b
}

func equalSums(p store.Part) byte {
	for _, c := range p.Chunks {
		if c.Sum != p.Chunks[0].Sum {
			return 0
		}
	}
	return partOneSum
}

func appendDocuments(b []byte, all []attr.Document) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, d := range all {
		b = appendString(b, string(d.Kind))
		b = binary.AppendUvarint(b, d.Revision)
		b = appendString(b, string(d.Body))
	}
	return b
}

func appendMoved(b []byte, f store.File) []byte {
	b = append(b, f.ID[:]...)
	b = binary.AppendUvarint(b, fileFlags(store.File{Latest: f.Latest, ETag: "-"}))
	b = appendString(b, string(f.Bucket))
	b = appendString(b, string(f.Key))
	b = binary.AppendUvarint(b, f.Seq)
	return appendString(b, f.ChangedBy)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMicro())
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendField(b []byte, kind byte, body []byte) []byte {
	return append(binary.AppendUvarint(append(b, kind), uint64(len(body))), body...)
}
