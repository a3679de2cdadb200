package chunk

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// DefaultUnitSize is the size of a unit in bytes where nothing else is set.
const DefaultUnitSize = 256 << 10

// MaxUnitSize bounds a unit, and with it a frame on the wire, in bytes.
const MaxUnitSize = 1 << 20

// Store is a place that keeps chunks: a disk, a node behind gRPC, memory.
// All methods are safe for concurrent use. Every error is an
// *store.Error or that of an ended context; Unavailable and Canceled leave the outcome open.
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
type Store interface {
	WriterOpener
	ReaderOpener
	Keeper
}

// WriterOpener creates chunks.
type WriterOpener interface {
	// Create begins the chunk spec.ID. It is not visible, and a crash leaves nothing
	// of it, before the writer's Commit has returned.
	//
	// ctx covers the whole write, not only this call: when it ends the writer
	// fails. Exactly one of Commit and Abort must be called on the writer.
	// Errors: Invalid (spec), NoSpace, Unavailable. An implementation may report
	// them from Append or Commit instead, when asking at once would cost a round trip.
	Create(ctx context.Context, spec Spec) (Writer, error)
}

// Spec is what must be known of a chunk before its first byte.
type Spec struct {
	ID       store.ChunkID
	UnitSize int   // bytes of every unit but the last, 1..MaxUnitSize
	SizeHint int64 // expected bytes of the chunk, 0 if unknown; for preallocation and the choice of form, never a limit
}

// Validate reports the first rule that the spec breaks, as Invalid.
func (s Spec) Validate() error {
	switch {
	case s.ID.Part == store.PartID{}:
		return store.Errorf(store.Invalid, "chunk has no part id")
	case s.ID.Index >= store.MaxChunksPerPart:
		return store.Errorf(store.Invalid, "chunk index %d is not below %d", s.ID.Index, store.MaxChunksPerPart)
	case s.UnitSize < 1 || s.UnitSize > MaxUnitSize:
		return store.Errorf(store.Invalid, "unit size %d is not within 1..%d bytes", s.UnitSize, MaxUnitSize)
	case s.SizeHint < 0:
		return store.Errorf(store.Invalid, "size hint %d is negative", s.SizeHint)
	}
	return nil
}

// CheckUnit reports, as Invalid, a unit whose length is not allowed as the next one of a chunk
// that has size bytes so far. It does not compare the checksum; see Unit.Check.
func (s Spec) CheckUnit(u Unit, size int64) error {
	switch n := len(u.Data); {
	case n < 1 || n > s.UnitSize:
		return store.Errorf(store.Invalid, "unit of %d bytes is not within 1..%d", n, s.UnitSize).WithItem(s.ID)
	case size%int64(s.UnitSize) != 0:
		return store.Errorf(store.Invalid, "a unit follows one that was shorter than %d bytes", s.UnitSize).WithItem(s.ID)
	}
	return nil
}

// Writer takes the units of one chunk in order. It is used by one goroutine at a time.
type Writer interface {
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
	Commit(label Label) (Info, error)

	// Abort discards the chunk and frees its resources. It may be called at any
	// time, more than once, and also while Append is blocked in another
	// goroutine, which then fails.
	Abort()
}

// ReaderOpener reads chunks.
type ReaderOpener interface {
	// Open reads count units, beginning with number first (0 is the first);
	// count < 0 means to the end. A range that begins at or past the end
	// is OutOfRange, one that reaches past it ends there. ctx covers the whole read.
	// Errors: NotFound, Corrupt (header or table unreadable), OutOfRange, Unavailable.
	// They may come from the first Next instead.
	Open(ctx context.Context, id store.ChunkID, first, count int) (Reader, error)
}

// Reader returns the units of one chunk in order. It is used by one goroutine at a time.
type Reader interface {
	// Next returns the next unit, its checksum compared with what was stored, or
	// io.EOF after the last. The caller must Release the unit. A unit whose
	// bytes changed is Corrupt, and the reader is then at its end.
	Next() (Unit, error)

	// Close ends the read, early or not. It may be called more than once, and
	// while Next is blocked in another goroutine, which then fails.
	Close() error
}

// RangeReader is an optional capability of a Reader: units that lie in a file, so that a network can send them without copying.
type RangeReader interface {
	Reader
	// NextRange is Next without reading the unit. Nothing compares the bytes with the checksum: the receiver must. Where
	// File is nil, the unit cannot be sent from a file, and Next returns it.
	NextRange() (Range, error)
}

// Range is where a unit lies. It is valid until its reader is closed.
type Range struct {
	File   syscall.Conn // nil: nowhere that can be told
	Offset int64        // bytes
	Length int          // bytes
	CRC    uint32       // CRC32C that the bytes should have
}

// Keeper manages stored chunks.
type Keeper interface {
	// Stat describes what is stored under id without reading its data. NotFound if absent.
	Stat(ctx context.Context, id store.ChunkID) (Info, error)

	// Delete removes the chunk durably; deleting what is absent is nil.
	// An open reader may continue to its end or fail with NotFound.
	// A full disk does not prevent it. Errors: Unavailable (a disk that cannot be
	// written), NoSpace (full to the point that not even a deletion can be recorded).
	Delete(ctx context.Context, id store.ChunkID) error

	// List returns up to limit chunks in the order of store.ChunkID.Compare, from the first id after
	// the marker on; the zero id begins at the start. Fewer than limit means the end. Chunks
	// that are stored or deleted concurrently may or may not be listed. It reads no data, so
	// it neither finds damage nor fails because of it; Stat returns the rest of a chunk's
	// properties, and Verify checks it.
	List(ctx context.Context, after store.ChunkID, limit int) ([]Listed, error)

	// Capacity returns the state of the disk under the chunks, at most a few seconds old.
	Capacity(ctx context.Context) (store.Capacity, error)
}

// Verifier is an optional capability of a Store: checking in place.
type Verifier interface {
	// Verify reads the whole chunk where it is stored and compares every checksum.
	// Errors as Open and Next.
	Verify(ctx context.Context, id store.ChunkID) error
}

// Verify reads a whole chunk and compares every checksum: in place if c is a Verifier,
// otherwise by VerifyByReading. Errors as Open and Next.
func Verify(ctx context.Context, c Store, id store.ChunkID) error {
	if v, ok := c.(Verifier); ok {
		return v.Verify(ctx, id)
	}
	return VerifyByReading(ctx, c, id)
}

// VerifyByReading reads a whole chunk; Reader.Next compares the checksum of each unit.
// Errors as Open and Next.
func VerifyByReading(ctx context.Context, c ReaderOpener, id store.ChunkID) error {
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

// SmallPutter is an optional capability of a Store: a chunk of one unit in one step.
// The function PutSmall uses it where it is available.
type SmallPutter interface {
	// PutSmall is Create, one Append and Commit. It takes over u as Append does.
	PutSmall(ctx context.Context, spec Spec, u Unit, label Label) (Info, error)
}

// PutSmall stores a chunk of one unit, in one step where c can do that. It takes over u.
func PutSmall(ctx context.Context, c Store, spec Spec, u Unit, label Label) (Info, error) {
	if p, ok := c.(SmallPutter); ok {
		return p.PutSmall(ctx, spec, u, label)
	}
	w, err := c.Create(ctx, spec)
	if err != nil {
		u.Release()
		return Info{}, err
	}
	defer w.Abort()
	if err := w.Append(u); err != nil {
		return Info{}, err
	}
	return w.Commit(label)
}

// ManyPutter is an optional capability of a Store: several chunks of one unit in one step, which is durable with one sync.
type ManyPutter interface {
	// PutMany is PutSmall for each, and returns their results by index. It takes over the units. One that fails fails no other.
	PutMany(puts []SmallPut) []PutResult
}

// SmallPut is a chunk of one unit to store.
type SmallPut struct {
	Context context.Context //nolint:containedctx // of this one: a caller that has left gets nothing stored
	Spec    Spec
	Unit    Unit
	Label   Label
}

// PutResult is what PutSmall returns.
type PutResult struct {
	Info Info
	Err  error
}

// PutMany stores chunks of one unit, in one step where c can do that, otherwise one after the other. It takes over the units.
func PutMany(c Store, puts []SmallPut) []PutResult {
	if p, ok := c.(ManyPutter); ok {
		return p.PutMany(puts)
	}
	results := make([]PutResult, len(puts))
	for i, p := range puts {
		results[i].Info, results[i].Err = PutSmall(p.Context, c, p.Spec, p.Unit, p.Label)
	}
	return results
}

// ManyDeleter is an optional capability of a Store: the deletion of many chunks in one step.
// The function DeleteMany uses it where it is available.
type ManyDeleter interface {
	// DeleteMany deletes each of up to store.MaxListLimit chunks as Delete does. It returns one result for each id, in the order of
	// the ids: nil where the chunk is durably deleted. One that cannot be deleted does not prevent the others. More ids are
	// Invalid, and nothing is deleted. An id may be given more than once.
	DeleteMany(ctx context.Context, ids []store.ChunkID) []error
}

// DeleteMany deletes chunks, in one step where c can do that. Results as those of ManyDeleter.
func DeleteMany(ctx context.Context, c Keeper, ids []store.ChunkID) []error {
	if d, ok := c.(ManyDeleter); ok {
		return d.DeleteMany(ctx, ids)
	}
	return DeleteEach(ctx, c, ids)
}

// DeleteEach deletes chunks one by one, with the results of ManyDeleter.
func DeleteEach(ctx context.Context, c Keeper, ids []store.ChunkID) []error {
	if err := CheckMany(ids); err != nil {
		return AllFailed(ids, err)
	}
	results := make([]error, len(ids))
	for i, id := range ids {
		results[i] = c.Delete(ctx, id)
	}
	return results
}

// CheckMany reports more ids than one call may have, as Invalid.
func CheckMany(ids []store.ChunkID) error {
	if len(ids) > store.MaxListLimit {
		return store.Errorf(store.Invalid, "%d chunks are more than %d", len(ids), store.MaxListLimit)
	}
	return nil
}

// AllFailed returns the error as the result of each id.
func AllFailed(ids []store.ChunkID, err error) []error {
	results := make([]error, len(ids))
	for i := range results {
		results[i] = err
	}
	return results
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
		return store.Errorf(store.Corrupt, "unit of %d bytes has CRC32C %08x, expected %08x", len(u.Data), got, u.CRC)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC32C is the CRC-32 with the Castagnoli polynomial (RFC 3720, appendix B.4).
func CRC32C(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Info describes a chunk as its place keeps it.
type Info struct {
	ID       store.ChunkID
	Size     int64 // bytes of data, without header, label and checksums
	UnitSize int   // bytes of every unit but the last
	Sum      store.ChunkSum
	StoredAt int64 // Unix seconds of Commit by the place's own clock
	Label    Label
}

// Matches reports whether the chunk has this content: its size in bytes and its sum.
func (i Info) Matches(size int64, sum store.ChunkSum) bool { return i.Size == size && i.Sum == sum }

// Units is the number of units in the chunk.
func (i Info) Units() int {
	if i.UnitSize == 0 {
		return 0
	}
	return int((i.Size + int64(i.UnitSize) - 1) / int64(i.UnitSize))
}

// Listed is an entry of List.
type Listed struct {
	ID      store.ChunkID
	Sum     store.ChunkSum // of the content that was stored
	Damaged bool           // the stored sum cannot be read, so Sum is 0
}

// Label describes the file that a chunk belongs to, as of its upload. It is stored with the chunk and never changes. A
// lost database is rebuilt from the metadata log (store.MetadataLog); labels are for what the log has not reached.
type Label struct {
	File        store.FileID
	Bucket      store.BucketName
	Key         store.Key
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
