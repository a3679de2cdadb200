package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// UUID is an RFC 9562 identifier. The zero value is the nil UUID, which is never assigned.
type UUID [16]byte

// FileID names one immutable file. Version 7: ids sort by time of creation.
type FileID UUID

// PartID names one part of one file and is never reused. Version 4: the first characters
// are evenly distributed, because chunk folders and the walk on the ring use them.
type PartID UUID

// NodeID names a storage node. The node creates it once and keeps it in its data directory.
type NodeID UUID

// ClusterID names the cluster that a node or a metadata store belongs to.
type ClusterID UUID

// AttemptID names one attempt of a change whose answer can be lost, so that it can be abandoned. Version 7.
type AttemptID UUID

// NewAttemptID returns a new id for a change that is about to be made.
func NewAttemptID() AttemptID { return AttemptID(newV7(time.Now())) }

// NewFileID returns a fresh id for a file created now.
func NewFileID() FileID { return FileID(newV7(time.Now())) }

// NewPartID returns a fresh random id.
func NewPartID() PartID { return PartID(newV4()) }

// NewNodeID returns a fresh random id.
func NewNodeID() NodeID { return NodeID(newV4()) }

// NewClusterID returns a fresh random id.
func NewClusterID() ClusterID { return ClusterID(newV4()) }

// AttemptsFrom returns the least id of an attempt made at that time: all smaller ids are older.
func AttemptsFrom(at time.Time) (id AttemptID) {
	ms := uint64(max(at.UnixMilli(), 0))
	binary.BigEndian.PutUint64(id[:8], ms<<16)
	return id
}

// String gives the canonical form: 8-4-4-4-12 lower-case hexadecimal digits.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

func (id FileID) String() string    { return UUID(id).String() }
func (id PartID) String() string    { return UUID(id).String() }
func (id NodeID) String() string    { return UUID(id).String() }
func (id ClusterID) String() string { return UUID(id).String() }
func (id AttemptID) String() string { return UUID(id).String() }

// IsZero reports whether the id was never assigned.
func (id FileID) IsZero() bool { return id == FileID{} }

// IsZero reports whether the id was never assigned.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// IsZero reports whether the id was never assigned.
func (id ClusterID) IsZero() bool { return id == ClusterID{} }

// IsZero reports whether the id was never assigned.
func (id AttemptID) IsZero() bool { return id == AttemptID{} }

// MarshalText writes the canonical form; JSON uses it.
func (id FileID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText writes the canonical form; JSON uses it.
func (id PartID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText writes the canonical form; JSON uses it.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText writes the canonical form; JSON uses it.
func (id ClusterID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the canonical form. Malformed text is Invalid.
func (id *FileID) UnmarshalText(b []byte) (err error) { *id, err = ParseFileID(string(b)); return err }

// UnmarshalText reads the canonical form. Malformed text is Invalid.
func (id *PartID) UnmarshalText(b []byte) (err error) { *id, err = ParsePartID(string(b)); return err }

// UnmarshalText reads the canonical form. Malformed text is Invalid.
func (id *NodeID) UnmarshalText(b []byte) (err error) { *id, err = ParseNodeID(string(b)); return err }

// UnmarshalText reads the canonical form. Malformed text is Invalid.
func (id *ClusterID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseClusterID(string(b))
	return err
}

// ParseFileID reads the canonical form, in either case. Anything else is Invalid.
func ParseFileID(s string) (FileID, error) { u, err := parseUUID("file id", s); return FileID(u), err }

// ParsePartID reads the canonical form, in either case. Anything else is Invalid.
func ParsePartID(s string) (PartID, error) { u, err := parseUUID("part id", s); return PartID(u), err }

// ParseNodeID reads the canonical form, in either case. Anything else is Invalid.
func ParseNodeID(s string) (NodeID, error) { u, err := parseUUID("node id", s); return NodeID(u), err }

// ParseClusterID reads the canonical form, in either case. Anything else is Invalid.
func ParseClusterID(s string) (ClusterID, error) {
	u, err := parseUUID("cluster id", s)
	return ClusterID(u), err
}

func parseUUID(what, s string) (u UUID, err error) {
	bad := func() (UUID, error) {
		return UUID{}, Errorf(Invalid, "%s %q is not a UUID of the form 01234567-89ab-cdef-0123-456789abcdef", what, clip(s, 64))
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return bad()
	}
	at := 0
	for _, span := range [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, 36}} {
		n, err := hex.Decode(u[at:], []byte(s[span[0]:span[1]]))
		if err != nil {
			return bad()
		}
		at += n
	}
	return u, nil
}

func newV4() (u UUID) {
	rand.Read(u[:]) // never fails: crypto/rand ends the program instead
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// newV7 follows RFC 9562, section 5.7, with the sub-millisecond fraction in
// rand_a (method 3), so that ids made by one gateway sort by time of creation.
func newV7(now time.Time) (u UUID) {
	u = newV4()
	ms := now.UnixMilli()
	binary.BigEndian.PutUint32(u[0:4], uint32(ms>>16))
	binary.BigEndian.PutUint16(u[4:6], uint16(ms))
	fraction := uint16((now.UnixNano() % 1e6) << 12 / 1e6)
	u[6] = byte(fraction>>8)&0x0f | 0x70
	u[7] = byte(fraction)
	return u
}

// MaxChunksPerPart bounds K+M; a chunk's index is one byte on disk and wire.
const MaxChunksPerPart = 64

// ChunkID names one chunk of one part. It is comparable and sorts by its text form.
type ChunkID struct {
	Part  PartID
	Index uint8 // 0..K-1 data, K..K+M-1 parity
}

// String gives 32 hexadecimal digits of the part, a hyphen, and two digits of the index:
// safe as a file name, and evenly distributed over its first two characters.
func (id ChunkID) String() string {
	var b [35]byte
	hex.Encode(b[0:32], id.Part[:])
	b[32] = '-'
	hex.Encode(b[33:35], []byte{id.Index})
	return string(b[:])
}

// ParseChunkID parses the result of String, lower case only, so that each chunk has
// one name. Anything else, and an index beyond MaxChunksPerPart, is Invalid.
func ParseChunkID(s string) (ChunkID, error) {
	var id ChunkID
	var index [1]byte
	ok := len(s) == 35 && s[32] == '-'
	if ok {
		_, err1 := hex.Decode(id.Part[:], []byte(s[:32]))
		_, err2 := hex.Decode(index[:], []byte(s[33:]))
		id.Index = index[0]
		ok = err1 == nil && err2 == nil && id.Index < MaxChunksPerPart && id.String() == s
	}
	if !ok {
		return ChunkID{}, Errorf(Invalid, "chunk id %q is not 32 hexadecimal digits, a hyphen and a two-digit index below %d", clip(s, 64), MaxChunksPerPart)
	}
	return id, nil
}

// Compare orders chunk ids as their text forms do: -1, 0 or 1.
func (id ChunkID) Compare(o ChunkID) int {
	for i := range id.Part {
		if id.Part[i] != o.Part[i] {
			return order(id.Part[i] < o.Part[i])
		}
	}
	if id.Index == o.Index {
		return 0
	}
	return order(id.Index < o.Index)
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "… (" + strconv.Itoa(len(s)) + " bytes)"
}
