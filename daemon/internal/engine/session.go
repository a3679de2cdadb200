package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SessionRequest begins a resumable upload.
type SessionRequest struct {
	Bucket      store.BucketName
	Key         store.Key
	Size        int64 // bytes that the file will have, or -1 when unknown
	ContentType string
	Meta        map[string]string
	CRC64       *uint64 // CRC64NVME that the file must have; nil: not said
	Caller      string  // the access key; open sessions are limited per key
}

// CreateSession begins an upload whose parts come one by one, over any gateway.
// Nothing is visible before CompleteSession. It ends by itself when no part has
// arrived for Config.SessionTTL. Errors: Invalid, NotFound (bucket), TooLarge,
// Unavailable (Config.SessionLimits).
func (e *Engine) CreateSession(ctx context.Context, r SessionRequest) (store.Session, error) {
	s := store.Session{
		ID: store.NewFileID(), Bucket: r.Bucket, Key: r.Key, Size: r.Size, ContentType: r.ContentType,
		Meta: r.Meta, CRC64: r.CRC64, Owner: r.Caller,
	}
	if err := s.Validate(); err != nil {
		return store.Session{}, err
	}
	if r.Size > e.cfg.MaxSessionFile {
		return store.Session{}, tooLarge(e.cfg.MaxSessionFile)
	}
	return e.meta.CreateSession(ctx, s, e.cfg.SessionTTL, e.cfg.SessionLimits)
}

// Session tells what has arrived of a session. NotFound.
func (e *Engine) Session(ctx context.Context, id store.FileID) (store.Session, error) {
	s, err := e.meta.Session(ctx, id)
	if err != nil {
		e.sessions.forget(id)
		return store.Session{}, noSession(id, err)
	}
	return s, nil
}

// SetSessionSize says how many bytes the file will have, of a session that was created
// without saying so. The same size again is nil. Errors: NotFound, Invalid
// (negative), Conflict (it is to have another size), TooLarge.
func (e *Engine) SetSessionSize(ctx context.Context, id store.FileID, size int64) error {
	if size > e.cfg.MaxSessionFile {
		return tooLarge(e.cfg.MaxSessionFile)
	}
	if err := e.meta.SetSessionSize(ctx, id, size); err != nil {
		return noSession(id, err)
	}
	e.sessions.forget(id)
	return nil
}

// ListSessions lists sessions; see store.Sessions. Invalid, NotFound.
func (e *Engine) ListSessions(ctx context.Context, q store.SessionQuery) (store.SessionPage, error) {
	if err := q.Validate(); err != nil {
		return store.SessionPage{}, err
	}
	return e.meta.ListSessions(ctx, q)
}

// AbortSession gives a session up; what has arrived of it is reclaimed. Parts
// that are on their way fail at their end. NotFound.
func (e *Engine) AbortSession(ctx context.Context, id store.FileID) error {
	e.sessions.forget(id)
	if err := e.meta.AbortSession(ctx, id); err != nil {
		return noSession(id, err)
	}
	e.cfg.WakeReclaim()
	return nil
}

// noSession tells a person what became of a session that is not there.
func noSession(id store.FileID, err error) error {
	if !errors.Is(err, store.NotFound) {
		return err
	}
	return store.Errorf(store.NotFound, "there is no session %s: it was completed, was aborted or has expired", id).
		WithHint("Where it was completed, the file has the same id; otherwise begin a new session.")
}

// sessionFacts remembers what never changes of a session: what its parts are
// labelled with and where they are placed. Whether it still exists is not
// remembered: that is looked at in the step that saves a part.
type sessionFacts struct {
	mu    sync.Mutex // guards what follows
	known map[store.FileID]knownSession
}

type knownSession struct {
	session store.Session // without Parts
	at      time.Time
}

const (
	factsTTL = time.Minute
	factsMax = 4096
)

func (f *sessionFacts) get(id store.FileID) (store.Session, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, ok := f.known[id]
	return k.session, ok && time.Since(k.at) < factsTTL
}

func (f *sessionFacts) keep(s store.Session) {
	s.Parts = nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= factsMax {
		f.known = map[store.FileID]knownSession{} // they are soon there again
	}
	f.known[s.ID] = knownSession{s, time.Now()}
}

func (f *sessionFacts) forget(id store.FileID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, id)
}
