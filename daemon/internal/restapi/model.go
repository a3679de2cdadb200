package restapi

import (
	"encoding/base64"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

func checksumsOf(f store.File) (s rest.Checksums) {
	if f.State != store.Complete {
		return s
	}
	s.CRC64NVME = checksum.Encode(f.CRC64)
	if f.SHA256 != nil {
		s.SHA256 = base64.StdEncoding.EncodeToString(f.SHA256)
	}
	return s
}

func fileOf(f store.File) rest.File {
	return rest.File{
		FileID: f.ID.String(), Bucket: f.Bucket.String(), Name: f.Key.String(), Size: f.Size, ContentType: f.ContentType,
		Status: rest.FileStatus(f.State.String()), Latest: f.Latest, ETag: f.ETag, Checksums: checksumsOf(f),
		CreatedAt: f.CreatedAt, CompletedAt: f.CompletedAt, Failure: f.Failure, Meta: shownMeta(f.Meta),
	}
}

func metadataOf(d engine.Description) rest.FileMetadata {
	f := fileOf(d.File)
	m := rest.FileMetadata{
		FileID: f.FileID, Bucket: f.Bucket, Name: f.Name, Size: f.Size, ContentType: f.ContentType, Status: f.Status,
		Latest: f.Latest, ETag: f.ETag, Checksums: f.Checksums, CreatedAt: f.CreatedAt, CompletedAt: f.CompletedAt, Failure: f.Failure, Meta: f.Meta,
		Survives: d.Survives, Wanted: d.Wanted, Parts: make([]rest.Part, 0, len(d.Parts)),
	}
	for _, p := range d.Parts {
		part := partOf(p)
		if d.File.State == store.Complete {
			part.CRC64NVME = checksum.Encode(p.CRC64)
		}
		m.Parts = append(m.Parts, part)
	}
	return m
}

func partOf(p engine.PartDescription) rest.Part {
	out := rest.Part{
		Number: p.Number, Size: p.Size, DataChunks: p.K, ParityChunks: p.M, UnitSize: p.UnitSize,
		Chunks: make([]rest.Chunk, 0, len(p.Chunks)),
	}
	for _, c := range p.Chunks {
		chunk := rest.Chunk{
			ChunkID: c.ID.String(), Role: rest.ChunkRole(c.Role), Bytes: c.Bytes,
			Node: c.NodeName, Zone: c.Zone, Reachable: c.Reachable,
		}
		if !c.Node.IsZero() {
			chunk.NodeID = c.Node.String()
		}
		out.Chunks = append(out.Chunks, chunk)
	}
	return out
}

// sessionOf leaves out the parts of a session that was read without them, as in a listing.
func sessionOf(s store.Session) rest.Session {
	out := rest.Session{
		SessionID: s.ID.String(), Bucket: s.Bucket.String(), Name: s.Key.String(), Size: s.Size, ContentType: s.ContentType,
		Meta: shownMeta(s.Meta), Received: s.Received, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt,
	}
	if s.CRC64 != nil {
		out.Checksums.CRC64NVME = checksum.Encode(*s.CRC64)
	}
	for _, p := range s.Parts {
		out.Parts = append(out.Parts, sessionPartOf(p))
	}
	return out
}

func sessionPartOf(p store.SessionPart) rest.SessionPart {
	return rest.SessionPart{Number: p.Number, Size: p.Size, CRC64NVME: checksum.Encode(p.CRC64), StoredAt: p.StoredAt}
}

func bucketOf(b store.Bucket, u store.Usage) rest.Bucket {
	out := rest.Bucket{Name: b.Name.String(), CreatedAt: b.CreatedAt, Usage: rest.Usage{Bytes: u.Bytes, Files: u.Files}}
	if b.Survive != store.SurviveDefault {
		out.Survive = &b.Survive
	}
	return out
}
