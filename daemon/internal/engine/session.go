package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SessionRequest creates a resumable upload.
type SessionRequest struct {
	Bucket      store.BucketName
	Key         store.Key
	Size        int64 // bytes of the file, or -1 when unknown
	ContentType string
	Meta        map[string]string
	CRC64       *uint64 // CRC64NVME that the file must have; nil: any
	Caller      string  // the access key; open sessions are limited per key
}

// CreateSession starts an upload whose parts are sent one by one, over any gateway.
// Nothing is visible before CompleteSession. The session expires when no part has
// arrived for Config.SessionTTL. Errors: Invalid, NotFound (bucket), TooLarge,
// Unavailable (Config.SessionLimits).
func (e *Engine) CreateSession(ctx context.Context, r SessionRequest) (store.Session, error) {
	s := store.Session{
		ID: store.NewFileID(), Bucket: r.Bucket, Key: r.Key, Size: r.Size, ContentType: r.ContentType,
		Meta: r.Meta, CRC64: r.CRC64, Owner: r.Caller,
	}
	if r.Size > e.cfg.MaxSessionFile {
		return store.Session{}, tooLarge(e.cfg.MaxSessionFile)
	}
	return e.meta.CreateSession(ctx, s, e.cfg.SessionTTL, e.cfg.SessionLimits)
}

// Session returns a session with the parts that have arrived. NotFound.
func (e *Engine) Session(ctx context.Context, id store.FileID) (store.Session, error) {
	s, err := e.meta.Session(ctx, id)
	if err != nil {
		e.sessions.forget(id)
		return store.Session{}, noSession(id, err)
	}
	return s, nil
}

// SetSessionSize sets the size in bytes of the file of a session that was created
// without one. Setting the same size again is nil. Errors: NotFound, Invalid
// (negative), Conflict (it has another size), TooLarge.
func (e *Engine) SetSessionSize(ctx context.Context, c store.SessionChange, size int64) error {
	if size > e.cfg.MaxSessionFile {
		return tooLarge(e.cfg.MaxSessionFile)
	}
	if err := e.meta.SetSessionSize(ctx, c, size); err != nil {
		return noSession(c.Session, err)
	}
	e.sessions.forget(c.Session)
	return nil
}

// ListSessions lists sessions; see store.Sessions. Invalid, NotFound.
func (e *Engine) ListSessions(ctx context.Context, q store.SessionQuery) (store.SessionPage, error) {
	return e.meta.ListSessions(ctx, q)
}

// AbortSession removes a session; its parts are reclaimed. Uploads of parts
// that are in progress fail when they are saved. NotFound.
func (e *Engine) AbortSession(ctx context.Context, c store.SessionChange) error {
	e.sessions.forget(c.Session)
	if err := e.meta.AbortSession(ctx, c); err != nil {
		return noSession(c.Session, err)
	}
	e.cfg.WakeReclaim()
	return nil
}

// noSession explains to the client why a session may not exist.
func noSession(id store.FileID, err error) error {
	if !errors.Is(err, store.NotFound) {
		return err
	}
	return store.Errorf(store.NotFound, "there is no session %s: it was completed, was aborted or has expired", id).
		WithHint("If it was completed, the file has the same id; otherwise create a new session.")
}

// sessionCache keeps the constant properties of sessions: those in the label of
// parts and those that decide the layout. It does not tell whether a session still exists:
// the step that saves a part checks that.
type sessionCache struct {
	mu    sync.Mutex // guards known
	known map[store.FileID]knownSession
}

type knownSession struct {
	session store.Session // without Parts
	at      time.Time
}

const (
	sessionCacheTTL = time.Minute
	sessionCacheMax = 4096
)

func (f *sessionCache) get(id store.FileID) (store.Session, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, ok := f.known[id]
	return k.session, ok && time.Since(k.at) < sessionCacheTTL
}

func (f *sessionCache) keep(s store.Session) {
	s.Parts = nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= sessionCacheMax {
		f.known = map[store.FileID]knownSession{} // those in use are looked up again
	}
	f.known[s.ID] = knownSession{s, time.Now()}
}

func (f *sessionCache) forget(id store.FileID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, id)
}
