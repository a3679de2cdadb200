package store

import (
	"encoding/hex"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
)

// FileState is where a file is in its life. Values are stored: add at the end.
type FileState uint8

// The states of a file. Only a complete file can be read or be latest.
const (
	Uploading FileState = iota + 1 // bytes are arriving
	Complete                       // acknowledged, and kept until deleted
	Failed                         // abandoned; its chunks are being reclaimed
	Deleted                        // deleted or replaced; reads that began before may still finish, then its chunks are reclaimed
)

var fileStateNames = [...]string{"", "uploading", "completed", "failed", "deleted"}

// String gives the name that REST shows.
func (s FileState) String() string {
	if int(s) < len(fileStateNames) {
		return fileStateNames[s]
	}
	return ""
}

// ParseFileState parses the name of a state that files are listed by: all but Deleted. Anything else is Invalid.
func ParseFileState(name string) (FileState, error) {
	for s, n := range fileStateNames[:Deleted] {
		if s > 0 && n == name {
			return FileState(s), nil
		}
	}
	return 0, Errorf(Invalid, "status %q is not one of uploading, completed, failed", clip(name, 32))
}

// File is one immutable version of an object.
type File struct {
	ID           FileID
	Bucket       BucketName
	Key          Key
	Size         int64 // bytes; of an uploading file what the client announced, or -1
	ContentType  string
	State        FileState
	Latest       bool      // it is what its (bucket, key) shows
	DeleteMarker bool      // it hides the object; it has no data
	CreatedAt    time.Time // microseconds, UTC: the upload began; where a store is given none, its clock at BeginFile, or at the commit of a file that was not begun
	CompletedAt  time.Time // microseconds, UTC: acknowledged; zero before
	CRC64        uint64    // CRC64NVME of all bytes; 0 before complete
	SHA256       []byte    // 32 bytes, or nil when none was requested
	Seq          uint64    // order of the versions of a key, of those that are complete: the one that became latest later, by a commit or a rename, has the higher one; 0 before complete
	ETag         string    // entity tag without quotes, free for the surface that made the file to choose; "" before complete
	Meta         map[string]string
	Attributes   attr.Set   // what it carries for S3 clients
	ChangedBy    string     // access key of the last commit, rename or delete; "" for an anonymous or internal one
	Failure      string     // why a failed file failed, for a person
	Parts        []Part     // in order of Number; as returned, the first PartsPage of them: PartsFrom has all. Listings leave it nil
	Marks        []PartMark // of a complete file with more than PartsPage parts, as MarksOf gives them; set by the store
}

// Part is a contiguous byte range of a file that is encoded independently.
type Part struct {
	ID        PartID
	Number    int   // from 1, ascending with the offset in the file
	Size      int64 // bytes
	K, M      int   // data and parity chunks; K = 1: M+1 whole copies
	UnitSize  int   // bytes
	CRC64     uint64
	Chunks    []Placement    // K+M of them, by chunk index
	Checksums attr.Checksums // of its bytes, those that the client sent and that were compared with them; usually none
}

// ETag is the entity tag of a file whose surface gives it none: a file never changes, so its id identifies its content. Clients of
// S3 take 32 hexadecimal digits for the MD5 of the content, and such digits with -N for that of N parts; no file has 0 parts.
func (id FileID) ETag() string { return hex.EncodeToString(id[:]) + "-0" }

// ChunkSize is the number of bytes of the chunk of that index: whole units for
// every full stripe, and for a last short stripe of r bytes one unit of
// ceil(r/K) bytes, so that all chunks of a part are equally long.
func (p Part) ChunkSize() int64 {
	stripe := int64(p.K) * int64(p.UnitSize)
	rest := p.Size % stripe
	return p.Size/stripe*int64(p.UnitSize) + (rest+int64(p.K)-1)/int64(p.K)
}

// Placement is the location of a chunk. The zero Node means that the chunk is not stored (yet); Sum is then
// the sum that it must have once it is written, where the writer knew it, else 0.
type Placement struct {
	Node NodeID
	Sum  ChunkSum
}

// ChunkID names the part's chunk of that index.
func (p Part) ChunkID(index int) ChunkID { return ChunkID{Part: p.ID, Index: uint8(index)} }
