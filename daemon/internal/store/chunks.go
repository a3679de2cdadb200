package store

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
)

// DefaultUnitSize is the size of a unit in bytes where nothing else is set.
const DefaultUnitSize = 256 << 10

// MaxUnitSize bounds a unit, and with it a frame on the wire, in bytes.
const MaxUnitSize = 1 << 20

// Chunks is a place that keeps chunks: a disk, a node behind gRPC, memory.
// All methods are safe for concurrent use. Every error is an
// *Error or that of an ended context; Unavailable and Canceled leave the outcome open.
//
// The kind of an error tells whether the chunk is lost at this place:
//
//   - Corrupt: its bytes, its header or the record of where it lies cannot be read
//     as they were written, for whatever reason: they changed, or the disk answers
//     with an error (EIO, a file system that found itself damaged). It stays so
//     until the chunk is deleted; the same chunk belongs on another place. The
//     message names the cause.
//   - NotFound: it is absent.
//   - Unavailable, Canceled: unknown; a later attempt may find out.
//   - Internal: a defect, never a property of the disk.
//
// Damage to one chunk does not affect calls about other chunks. A place that can no
// longer write still reads: writes are NoSpace or Unavailable with the reason,
// Capacity reports the state, and Open, Stat, List and Verify work as before. A
// full place still deletes.
//
// Implementations pass package chunktest.
type Chunks interface {
	ChunkWriterOpener
	ChunkReaderOpener
	ChunkKeeper
}

// ChunkWriterOpener creates chunks.
type ChunkWriterOpener interface {
	// Create begins the chunk spec.ID. It is not visible, and a crash leaves nothing
	// of it, before the writer's Commit has returned.
	//
	// ctx covers the whole write, not only this call: when it ends the writer
	// fails. Exactly one of Commit and Abort must be called on the writer.
	// Errors: Invalid (spec), NoSpace, Unavailable. An implementation may report
	// them from Append or Commit instead, when asking at once would cost a round trip.
	Create(ctx context.Context, spec ChunkSpec) (ChunkWriter, error)
}

// ChunkSpec is what must be known of a chunk before its first byte.
type ChunkSpec struct {
	ID       ChunkID
	UnitSize int   // bytes of every unit but the last, 1..MaxUnitSize
	SizeHint int64 // expected bytes of the chunk, 0 if unknown; for preallocation and the choice of form, never a limit
}

// Validate reports the first rule that the spec breaks, as Invalid.
func (s ChunkSpec) Validate() error {
	switch {
	case s.ID.Part == PartID{}:
		return Errorf(Invalid, "chunk has no part id")
	case s.ID.Index >= MaxChunksPerPart:
		return Errorf(Invalid, "chunk index %d is not below %d", s.ID.Index, MaxChunksPerPart)
	case s.UnitSize < 1 || s.UnitSize > MaxUnitSize:
		return Errorf(Invalid, "unit size %d is not within 1..%d bytes", s.UnitSize, MaxUnitSize)
	case s.SizeHint < 0:
		return Errorf(Invalid, "size hint %d is negative", s.SizeHint)
	}
	return nil
}

// CheckUnit reports, as Invalid, a unit whose length is not allowed as the next one of a chunk
// that has size bytes so far. It does not compare the checksum; see Unit.Check.
func (s ChunkSpec) CheckUnit(u Unit, size int64) error {
	switch n := len(u.Data); {
	case n < 1 || n > s.UnitSize:
		return Errorf(Invalid, "unit of %d bytes is not within 1..%d", n, s.UnitSize).WithItem(s.ID)
	case size%int64(s.UnitSize) != 0:
		return Errorf(Invalid, "a unit follows one that was shorter than %d bytes", s.UnitSize).WithItem(s.ID)
	}
	return nil
}

// ChunkWriter takes the units of one chunk in order. It is used by one goroutine at a time.
type ChunkWriter interface {
	// Append adds the next unit. It takes over u and releases it exactly once,
	// whatever it returns, possibly after it returned; the caller may not touch
	// u.Data again. Every unit but the last has UnitSize bytes, and none has 0.
	// A unit that does not match u.CRC is Corrupt (found here or at Commit).
	// After an error only Abort may be called.
	Append(u Unit) error

	// Commit makes the chunk durable with its label, shows it under its id, and
	// returns what was stored, as computed by the storing side. A chunk of
	// the same id and sum that exists already is success and changes nothing
	// (writes can be repeated); one with another sum is Exists. A chunk without
	// units is Invalid.
	// After an error nothing is visible (or, where the kind is Unavailable or
	// Canceled, the outcome is open); Abort after Commit does nothing.
	Commit(label Label) (ChunkInfo, error)

	// Abort discards the chunk and frees its resources. It may be called at any
	// time, more than once, and also while Append is blocked in another
	// goroutine, which then fails.
	Abort()
}

// ChunkReaderOpener reads chunks.
type ChunkReaderOpener interface {
	// Open reads count units, beginning with number first (0 is the first);
	// count < 0 means to the end. A range that begins at or past the end
	// is OutOfRange, one that reaches past it ends there. ctx covers the whole read.
	// Errors: NotFound, Corrupt (header or table unreadable), OutOfRange, Unavailable.
	// They may come from the first Next instead.
	Open(ctx context.Context, id ChunkID, first, count int) (ChunkReader, error)
}

// ChunkReader returns the units of one chunk in order. It is used by one goroutine at a time.
type ChunkReader interface {
	// Next returns the next unit, its checksum compared with what was stored, or
	// io.EOF after the last. The caller must Release the unit. A unit whose
	// bytes changed is Corrupt, and the reader is then at its end.
	Next() (Unit, error)

	// Close ends the read, early or not. It may be called more than once, and
	// while Next is blocked in another goroutine, which then fails.
	Close() error
}

// ChunkKeeper manages stored chunks.
type ChunkKeeper interface {
	// Stat describes what is stored under id without reading its data. NotFound if absent.
	Stat(ctx context.Context, id ChunkID) (ChunkInfo, error)

	// Delete removes the chunk durably; deleting what is absent is nil.
	// An open reader may continue to its end or fail with NotFound.
	// A full disk does not prevent it. Errors: Unavailable (a disk that cannot be
	// written), NoSpace (full to the point that not even a deletion can be recorded).
	Delete(ctx context.Context, id ChunkID) error

	// List returns up to limit chunks in the order of ChunkID.Compare, from the first id after
	// the marker on; the zero id begins at the start. Fewer than limit means the end. Chunks
	// that are stored or deleted concurrently may or may not be listed. It reads no data, so
	// it neither finds damage nor fails because of it; Stat returns the rest of a chunk's
	// properties, and Verify checks it.
	List(ctx context.Context, after ChunkID, limit int) ([]ListedChunk, error)

	// Capacity returns the state of the disk under the chunks, at most a few seconds old.
	Capacity(ctx context.Context) (Capacity, error)
}

// ChunkVerifier is an optional capability of a Chunks: checking in place.
type ChunkVerifier interface {
	// Verify reads the whole chunk where it is stored and compares every checksum.
	// Errors as Open and Next.
	Verify(ctx context.Context, id ChunkID) error
}

// Verify reads a whole chunk and compares every checksum: in place if c is a ChunkVerifier,
// otherwise by VerifyByReading. Errors as Open and Next.
func Verify(ctx context.Context, c Chunks, id ChunkID) error {
	if v, ok := c.(ChunkVerifier); ok {
		return v.Verify(ctx, id)
	}
	return VerifyByReading(ctx, c, id)
}

// VerifyByReading reads a whole chunk; ChunkReader.Next compares the checksum of each unit.
// Errors as Open and Next.
func VerifyByReading(ctx context.Context, c ChunkReaderOpener, id ChunkID) error {
	r, err := c.Open(ctx, id, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		u.Release()
	}
}

// SmallChunkPutter is an optional capability of a Chunks: a chunk of one unit in one step.
// The function PutSmall uses it where it is available.
type SmallChunkPutter interface {
	// PutSmall is Create, one Append and Commit. It takes over u as Append does.
	PutSmall(ctx context.Context, spec ChunkSpec, u Unit, label Label) (ChunkInfo, error)
}

// PutSmall stores a chunk of one unit, in one step where c can do that. It takes over u.
func PutSmall(ctx context.Context, c Chunks, spec ChunkSpec, u Unit, label Label) (ChunkInfo, error) {
	if p, ok := c.(SmallChunkPutter); ok {
		return p.PutSmall(ctx, spec, u, label)
	}
	w, err := c.Create(ctx, spec)
	if err != nil {
		u.Release()
		return ChunkInfo{}, err
	}
	defer w.Abort()
	if err := w.Append(u); err != nil {
		return ChunkInfo{}, err
	}
	return w.Commit(label)
}

// Unit is a range of bytes of a chunk with its checksum. Its owner must
// Release it once, or pass it to a callee that takes ownership.
type Unit struct {
	Data  []byte
	CRC   uint32   // CRC32C of Data
	Owner Releaser // nil when Data is left to the garbage collector
}

// Releaser owns buffers that units share.
type Releaser interface {
	// Release returns one unit's share of the buffer. Safe for concurrent use.
	Release()
}

// Abandoner is an optional method of a Releaser, for buffers that a network transport may hold
// without telling when it drops them.
type Abandoner interface {
	Releaser
	// Abandon returns one unit's share of the buffer like Release, but something may still read
	// the bytes: the buffer counts as returned, and its memory is left to the garbage collector
	// instead of being reused. Safe for concurrent use.
	Abandon()
}

// NewUnit computes the checksum of data.
func NewUnit(data []byte, owner Releaser) Unit {
	return Unit{Data: data, CRC: CRC32C(data), Owner: owner}
}

// Release returns the unit's buffer; Data may not be used afterwards.
func (u Unit) Release() {
	if u.Owner != nil {
		u.Owner.Release()
	}
}

// Check compares Data with CRC; a difference is Corrupt.
func (u Unit) Check() error {
	if got := CRC32C(u.Data); got != u.CRC {
		return Errorf(Corrupt, "unit of %d bytes has CRC32C %08x, expected %08x", len(u.Data), got, u.CRC)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC32C is the CRC-32 with the Castagnoli polynomial (RFC 3720, appendix B.4).
func CRC32C(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ChunkSum identifies the content of a chunk: the CRC32C over its units'
// CRC32Cs, each as four big-endian bytes, in order. It needs no second
// pass over the data, and covers every byte, the number of units and their order.
type ChunkSum uint32

// Add returns the sum with the next unit's CRC32C appended; begin with 0.
func (s ChunkSum) Add(unitCRC uint32) ChunkSum {
	// Byte by byte: a slice passed to hash/crc32 would be allocated for every unit.
	crc := ^uint32(s)
	for shift := 24; shift >= 0; shift -= 8 {
		crc = castagnoli[byte(crc)^byte(unitCRC>>shift)] ^ crc>>8
	}
	return ChunkSum(^crc)
}

// ChunkInfo describes a chunk as its place keeps it.
type ChunkInfo struct {
	ID       ChunkID
	Size     int64 // bytes of data, without header, label and checksums
	UnitSize int   // bytes of every unit but the last
	Sum      ChunkSum
	StoredAt int64 // Unix seconds of Commit by the place's own clock
	Label    Label
}

// Matches reports whether the chunk has this content: its size in bytes and its sum.
func (i ChunkInfo) Matches(size int64, sum ChunkSum) bool { return i.Size == size && i.Sum == sum }

// Units is the number of units in the chunk.
func (i ChunkInfo) Units() int {
	if i.UnitSize == 0 {
		return 0
	}
	return int((i.Size + int64(i.UnitSize) - 1) / int64(i.UnitSize))
}

// ListedChunk is an entry of List.
type ListedChunk struct {
	ID      ChunkID
	Sum     ChunkSum // of the content that was stored
	Damaged bool     // the stored sum cannot be read, so Sum is 0
}

// Label describes the file that a chunk belongs to, as of its upload. It is stored with the chunk and never changes. A
// lost database is rebuilt from the metadata log (MetadataLog); labels are for what the log has not reached.
type Label struct {
	File        FileID
	Bucket      BucketName
	Key         Key
	ContentType string
	CreatedAt   int64 // of the file: Unix microseconds
	FileSize    int64 // bytes, -1 while unknown (a part of an unfinished session)
	PartNumber  int   // from 1
	PartOffset  int64 // of the part's first byte in the file, -1 while unknown
	PartSize    int64 // bytes
	PartCRC64   uint64
	K, M        int // the part's layout
	UnitSize    int // of the part's layout, bytes
}

// Capacity is the state of the disk under a Chunks.
type Capacity struct {
	Total  int64 // bytes of the file system or the configured limit
	Used   int64 // bytes used by chunks, garbage included
	Free   int64 // bytes that new chunks may still take, the reserve left out; 0 unless Disk.State is DiskOK
	Chunks int64 // chunks kept
	Disk   Disk
}

// Disk is what the disk under a Chunks can do at present.
type Disk struct {
	State  DiskState
	Reason string // cause in words, for a person; may be set with DiskOK too, where something else needs attention
}

// DiskState tells which calls a disk can serve. Reads are served in every state.
// The values are sent in heartbeats and stored: add at the end, change none.
type DiskState uint8

// The states of a disk.
const (
	DiskOK       DiskState = iota // takes new chunks
	DiskFull                      // takes deletions, but no new chunks (disk, quota or limit used up)
	DiskReadOnly                  // takes no change: the file system is read-only
	DiskFailing                   // takes no change: a write or a sync failed, the disk's content is uncertain

	diskStateEnd
)

var diskStateNames = [diskStateEnd]string{"ok", "full", "read_only", "failing"}

// String gives the name that operators see; an unknown state is failing.
func (s DiskState) String() string {
	if s < diskStateEnd {
		return diskStateNames[s]
	}
	return diskStateNames[DiskFailing]
}

// Writable reports whether the disk takes new chunks.
func (d Disk) Writable() bool { return d.State == DiskOK }
