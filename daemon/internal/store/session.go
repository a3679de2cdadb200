package store

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
)

// MaxParts is the most parts that a file may have; they are numbered 1..MaxParts.
const MaxParts = attr.MaxParts

// MaxFileBytes is the largest file that a session may make, in bytes: 5 TiB.
const MaxFileBytes = 5 << 40

// Session is an unfinished resumable upload: parts arrive in any order, from any
// number of gateways, until the session is completed, aborted or expires.
type Session struct {
	ID          FileID // of the file that it becomes
	Bucket      BucketName
	Key         Key
	Size        int64 // bytes that the file will have, or -1 when that is not known yet
	ContentType string
	Meta        map[string]string // of the file
	Attributes  attr.Set          // of the file
	CRC64       *uint64           // CRC64NVME that the file must have; nil: not given
	Owner       string            // access key that created it
	ChangedBy   string            // access key of the last change: the creation, a size that was set, a part that was stored
	CreatedAt   time.Time         // microseconds, UTC, store's clock
	ExpiresAt   time.Time         // microseconds, UTC, store's clock: from then on the session is treated as absent
	Received    int64             // bytes of the parts that have arrived
	Parts       []SessionPart     // those that have arrived, by Number; listings leave it nil
}

// SessionChange says which session a call changes, and who asked for it.
type SessionChange struct {
	Session FileID
	Caller  string // access key of the client, stored as Session.ChangedBy; "" for an anonymous or internal change
}

// SessionPart is a part that has arrived and is durable.
type SessionPart struct {
	Part
	StoredAt time.Time // microseconds, UTC, store's clock
}

// SessionLimits bound the open sessions, those that have neither expired nor been completed or aborted. 0: no limit.
type SessionLimits struct {
	PerOwner  int // of one Session.Owner, in all buckets; "" is an owner like any other
	PerBucket int
}

// sessionsRetry is when to try again after a limit was reached: other uploads end in the meantime.
const sessionsRetry = 10 * time.Second

// OwnerReached is the error of a CreateSession whose owner has as many open sessions as its limit.
func (l SessionLimits) OwnerReached(s Session) error {
	return tooManySessions("access key %s has %d open sessions, its limit (--max-sessions-per-key)", s.Owner, l.PerOwner)
}

// BucketReached is the error of a CreateSession in a bucket that has as many open sessions as its limit.
func (l SessionLimits) BucketReached(s Session) error {
	return tooManySessions("bucket %s has %d open sessions, its limit (--max-sessions)", s.Bucket, l.PerBucket)
}

func tooManySessions(format string, args ...any) error {
	return Errorf(Unavailable, format, args...).WithLimit("open_sessions", sessionsRetry).WithHint("Complete or abort sessions that are not needed.")
}

// SessionQuery selects sessions in the order of their ids, which is that of their creation.
type SessionQuery struct {
	Bucket  BucketName // "": of all buckets
	Prefix  string     // keys that begin with it
	After   FileID     // skip ids up to and including it; the zero id means the start
	Expired bool       // those that have expired, instead of those that have not
	Limit   int        // 1..MaxListLimit
}

// SessionKeyQuery selects sessions of a bucket that have not expired, in the byte order of their keys, those of one key by id.
type SessionKeyQuery struct {
	Bucket BucketName
	Prefix string // keys that begin with it
	After  SessionCursor
	Limit  int // 1..MaxListLimit
}

// SessionCursor is a place in a listing by key: after the session of that key and id or, with the zero id, after all of that key. The
// key need not be one: "p\xff" is after all keys that begin with p. The zero cursor is the start.
type SessionCursor struct {
	Key string
	ID  FileID
}

// SessionPage is one page of sessions, without Parts.
type SessionPage struct {
	Sessions []Session
	More     bool
}

// Sessions keeps unfinished resumable uploads. A session that has expired is
// NotFound to every method but ListSessions and AbortSession, those of SessionParts included. A bucket with a session in it,
// expired or not, cannot be deleted (Buckets.DeleteBucket is then a Conflict).
type Sessions interface {
	// CreateSession stores a session that expires in ttl. CreatedAt, ExpiresAt, Received and ChangedBy, which is
	// Owner, are set by the store, Parts is ignored. NotFound (bucket), Exists (a session or a file of that id), Invalid,
	// Unavailable with the limit "open_sessions" when the owner or the bucket has as many open sessions as the limits allow.
	// Sessions are counted in the transaction that stores the new one, but without a lock: calls at the same time
	// may each store theirs, so the count exceeds a limit by at most the number of concurrent calls less one.
	CreateSession(ctx context.Context, s Session, ttl time.Duration, limits SessionLimits) (Session, error)

	// Session returns a session with its parts. NotFound.
	Session(ctx context.Context, id FileID) (Session, error)

	// SetSessionSize sets how many bytes the file will have, for a session that was created without a size. The
	// same size again is nil and changes nothing. NotFound, Invalid (negative), Conflict (it has another size).
	SetSessionSize(ctx context.Context, c SessionChange, size int64) error

	// ListSessions returns one page. NotFound (bucket, where one is named).
	ListSessions(ctx context.Context, q SessionQuery) (SessionPage, error)

	// ListSessionsByKey returns one page. A page costs as much as it has sessions, wherever it begins. NotFound (bucket).
	ListSessionsByKey(ctx context.Context, q SessionKeyQuery) (SessionPage, error)

	// CompleteSession creates the file c.File from parts of the sessions, and makes it
	// latest, as CommitFile does: it is the step in which a resumable upload becomes visible.
	// File.Parts names all parts by ID, with their Size, in order; each gets the Number that it has there,
	// and keeps the rest as stored. The sessions end in the same step: SweepDeleted puts the chunks of their parts that
	// are not in the file, and of parts that were only begun, on the reclaim queue.
	// File.ID is that of the session, or a new one where several are joined.
	// NotFound (a session, or the bucket), PreconditionFailed, Conflict (a part of the file is not in any of the sessions:
	// it was replaced in the meantime; or the attempt was abandoned), Exists (a file of that id), Invalid (attributes). Returns as CommitFile does, with Parts.
	CompleteSession(ctx context.Context, c Completion) (stored File, previous FileID, err error)

	// AbortSession removes a session, expired or not, in one step of the same cost however many parts it
	// has; the chunks of all its parts, begun ones included, are put on the reclaim queue by SweepDeleted. Until then
	// they are those of a Deleted file of the session's id, whose ChangedBy is the caller. NotFound.
	AbortSession(ctx context.Context, c SessionChange) error
}

// SessionParts changes the parts of unfinished sessions. A session that has expired is NotFound.
type SessionParts interface {
	// BeginPart records where a part is about to be stored, so that its chunks can be reclaimed if its writer dies. It is
	// not one of the session's parts before SavePart, and no row of the session is written: no caller is recorded.
	// NotFound (session), Exists (part id), Conflict (the part was dropped), Invalid (checksums).
	BeginPart(ctx context.Context, id FileID, p Part) error

	// SavePart adds the part to the session, replacing the part of that Number, and sets the session's expiry to ttl
	// from now. In the same step, what BeginPart recorded of it is removed; chunks that were planned on a node where
	// the part does not have them, and the chunks of the part that it replaces, are put on the reclaim queue; each
	// placement without a node is put on the repair queue, as for parts of files. The same part id again is nil and
	// changes nothing, ChangedBy included.
	// NotFound (session): the caller still has to reclaim the part's chunks. Conflict (the part was dropped). Invalid (ttl, checksums).
	SavePart(ctx context.Context, c SessionChange, p Part, ttl time.Duration) error

	// AddPart is SavePart for a part that must not replace another: Conflict when the
	// session has a part of that Number already. Callers that append to a session use it, so that of two
	// appends at the same offset, through two gateways, only one succeeds.
	AddPart(ctx context.Context, c SessionChange, p Part, ttl time.Duration) error

	// DropPart abandons a part that BeginPart recorded, or that the session does not
	// know, and fences it: afterwards no SavePart of that part id can happen, however late it arrives. Its
	// chunks, as planned and as given, are put on the reclaim queue. A part that belongs to a session or a
	// file is kept: that is a Conflict. The session need not exist. It is the clean-up of a writer, so no caller is recorded.
	DropPart(ctx context.Context, p Part) error
}

// Validate reports the first rule that a new session breaks, as Invalid.
func (s Session) Validate() error {
	if err := s.Bucket.Validate(); err != nil {
		return err
	}
	if err := s.Key.Validate(); err != nil {
		return err
	}
	switch {
	case s.ID.IsZero():
		return Errorf(Invalid, "session has no id")
	case s.Size < -1:
		return Errorf(Invalid, "size %d is negative", s.Size)
	}
	return ValidAttributes(s.Attributes)
}

// Resize returns the session with the size of its file set.
// Conflict (another size is set already).
func (s Session) Resize(size int64) (Session, error) {
	if s.Size >= 0 && s.Size != size {
		return s, Errorf(Conflict, "session %s was created for a file of %d bytes, not %d", s.ID, s.Size, size)
	}
	s.Size = size
	return s, nil
}

// Validate reports a limit out of bounds, as Invalid.
func (q SessionQuery) Validate() error { return validLimit(q.Limit) }

// Validate reports a limit out of bounds, as Invalid.
func (q SessionKeyQuery) Validate() error { return validLimit(q.Limit) }

// ValidPartNumber reports a number that no part can have, as Invalid.
func ValidPartNumber(n int) error {
	if n < 1 || n > MaxParts {
		return Errorf(Invalid, "part number %d is not within 1..%d", n, MaxParts).
			WithHint("Use larger parts: a file has at most %d.", MaxParts)
	}
	return nil
}
