package metalog

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// parseRecords decodes what appendRecords encoded. Corrupt.
func parseRecords(b []byte) ([]store.LogRecord, error) {
	p := &parser{rest: b}
	nodes := make([]store.NodeID, 0, p.count(16))
	for range cap(nodes) {
		nodes = append(nodes, store.NodeID(p.id()))
	}
	var records []store.LogRecord
	for len(p.rest) > 0 && !p.bad {
		kind := p.bytes(1)
		body := &parser{rest: p.bytes(p.count(1)), nodes: nodes, bad: p.bad}
		if p.bad {
			break
		}
		r := store.LogRecord{Kind: store.LogRecordKind(kind[0])}
		switch r.Kind {
		case store.FileStored:
			r.File = body.file()
		case store.FileMoved, store.FileShown:
			r.File = body.moved()
		case store.KeyHidden:
			r.File.Bucket, r.File.Key = store.BucketName(body.string()), store.Key(body.string())
		case store.FileRemoved:
			r.File.ID = store.FileID(body.id())
		case store.BucketStored:
			r.Bucket = store.Bucket{Name: store.BucketName(body.string()), CreatedAt: body.time(), Survive: int(body.varint())}
			r.Documents = body.documents()
		case store.BucketGone:
			r.Bucket.Name = store.BucketName(body.string())
		case store.AttributesSet:
			r.File.ID = store.FileID(body.id())
			r.File.Attributes = body.attributes()
		default:
			continue // of a later version, or sealed
		}
		if body.bad {
			return nil, damaged("record %d is not valid", len(records))
		}
		records = append(records, r) // bytes that are left in the body are fields of a later version
	}
	if p.bad {
		return nil, damaged("its records are not valid")
	}
	return records, nil
}

// parser reads values from the front of rest. After the first that is not there bad is set, and all further values are zero.
type parser struct {
	rest  []byte
	nodes []store.NodeID
	bad   bool
}

func (p *parser) fail() { p.bad, p.rest = true, nil }

func (p *parser) bytes(n int) []byte {
	if p.bad || n < 0 || n > len(p.rest) {
		p.fail()
		return make([]byte, min(max(n, 0), 32))
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// count reads a number of items, of which each takes at least so many bytes: more than there is room for are not valid.
func (p *parser) count(each int) int {
	n := p.uvarint()
	if n > uint64(len(p.rest)/each) {
		p.fail()
		return 0
	}
	return int(n)
}

// upTo reads a number that is not higher than the limit.
func (p *parser) upTo(limit uint64) uint64 {
	n := p.uvarint()
	if n > limit {
		p.fail()
		return 0
	}
	return n
}

func (p *parser) id() store.UUID  { return store.UUID(p.bytes(16)) }
func (p *parser) string() string  { return string(p.bytes(p.count(1))) }
func (p *parser) uint64() uint64  { return le.Uint64(p.bytes(8)) }
func (p *parser) time() time.Time { return timeOf(p.varint()) }

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func (p *parser) file() (f store.File) {
	f.ID = store.FileID(p.id())
	flags := p.uvarint()
	f.State, f.Latest, f.DeleteMarker = store.Complete, flags&flagLatest != 0, flags&flagDeleteMarker != 0
	f.Bucket, f.Key, f.ContentType = store.BucketName(p.string()), store.Key(p.string()), p.string()
	f.Size, f.CreatedAt, f.CompletedAt, f.Seq, f.CRC64 = p.varint(), p.time(), p.time(), p.uvarint(), p.uint64()
	if flags&flagSHA256 != 0 {
		f.SHA256 = p.bytes(32)
	}
	f.ETag = f.ID.ETag()
	if flags&flagTagIsID == 0 {
		f.ETag = p.string()
	}
	f.ChangedBy = p.string()
	if n := p.count(2); n > 0 {
		f.Meta = make(map[string]string, n)
		for range n {
			name := p.string()
			f.Meta[name] = p.string()
		}
	}
	if flags&flagAttributes != 0 {
		f.Attributes = p.attributes()
	}
	const leastPart = 16 + 5 + 1
	for range p.count(leastPart) {
		f.Parts = append(f.Parts, p.part(f.CRC64, flags&flagOneSum != 0))
	}
	return f
}

func (p *parser) part(crc uint64, noCRC bool) (part store.Part) {
	part.ID = store.PartID(p.id())
	part.Number, part.Size = int(p.upTo(math.MaxInt32)), int64(p.upTo(math.MaxInt64))
	part.K, part.M = int(p.upTo(store.MaxChunksPerPart)), int(p.upTo(store.MaxChunksPerPart))
	part.UnitSize, part.CRC64 = int(p.upTo(math.MaxInt32)), crc
	if !noCRC {
		part.CRC64 = p.uint64()
	}
	flags := p.bytes(1)[0]
	if part.K+part.M > store.MaxChunksPerPart || flags > partOneSum|partChecksums {
		p.fail()
		return part
	}
	if flags&partChecksums != 0 {
		var err error
		if part.Checksums, err = pack.ReadChecksums(p.bytes(p.count(1))); err != nil || part.Checksums == nil {
			p.fail()
			return part
		}
	}
	one := flags & partOneSum
	part.Chunks = make([]store.Placement, part.K+part.M)
	for i := range part.Chunks {
		c := &part.Chunks[i]
		if at := p.upTo(uint64(len(p.nodes))); at > 0 {
			c.Node = p.nodes[at-1]
		}
		if c.Sum = part.Chunks[0].Sum; one == 0 || i == 0 {
			c.Sum = store.ChunkSum(le.Uint32(p.bytes(4)))
		}
	}
	return part
}

func (p *parser) documents() (all []attr.Document) {
	const least = 1 + 1 + 1
	for range p.count(least) {
		all = append(all, attr.Document{Kind: attr.DocumentKind(p.string()), Revision: p.uvarint(), Body: []byte(p.string())})
	}
	return all
}

func (p *parser) attributes() attr.Set {
	a, err := pack.ReadAttributes(p.bytes(p.count(1)))
	if err != nil {
		p.fail()
	}
	return a
}

func (p *parser) moved() (f store.File) {
	f.ID = store.FileID(p.id())
	f.Latest = p.uvarint()&flagLatest != 0
	f.Bucket, f.Key, f.Seq, f.ChangedBy = store.BucketName(p.string()), store.Key(p.string()), p.uvarint(), p.string()
	return f
}
