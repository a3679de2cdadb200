// Package watch remembers whether a metadata store takes writes, so that a health check and the
// membership view know of a store that only reads: its disk is full, or it is read-only.
package watch

import (
	"context"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Store is a metadata store of which the last writes are remembered. Safe for concurrent use.
//
// Heartbeats are the probe: they are small, wait for no other change, and come whether or not a client
// writes. So the truth is known within one heartbeat, in both directions. Deletes tell nothing: a store
// may keep space for them alone.
type Store struct {
	store.Metadata
	fresh time.Duration
	now   func() time.Time

	mu       sync.Mutex // guards what follows
	failure  error      // of the last write that tells something; nil when it succeeded
	failedAt time.Time
}

// New watches a store. heartbeat is the interval of the nodes' beats: a failure that no write of three such
// intervals has confirmed counts no more, because a gateway that no node beats through has no other probe.
func New(meta store.Metadata, heartbeat time.Duration) *Store {
	return &Store{Metadata: meta, fresh: 3 * heartbeat, now: time.Now}
}

// WriteFailure is why the store takes no writes (NoSpace or Unavailable), or nil.
func (s *Store) WriteFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil && s.now().Sub(s.failedAt) > s.fresh {
		s.failure = nil
	}
	return s.failure
}

// Ping implements store.Metadata: it fails, too, while writes fail, with the kind and the cause of theirs.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.Metadata.Ping(ctx); err != nil {
		return err
	}
	return s.WriteFailure()
}

// note remembers how a write of a client went. Only a full disk is told by one: it may be Unavailable for
// reasons of its own, such as too many changes of the same rows.
func (s *Store) note(err error) {
	if err == nil || store.KindOf(err) == store.NoSpace {
		s.set(err)
	}
}

func (s *Store) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.failedAt = err, s.now()
}

// BeatNodes implements store.Nodes.
func (s *Store) BeatNodes(ctx context.Context, beats []store.Beat) ([]store.NodeID, error) {
	unknown, err := s.Metadata.BeatNodes(ctx, beats)
	switch {
	case err != nil && store.KindOf(err) == store.Unavailable:
		s.set(err)
	case err != nil || len(unknown) < len(beats): // else nothing was stored
		s.note(err)
	}
	return unknown, err
}

// CreateBucket implements store.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b store.Bucket) error {
	err := s.Metadata.CreateBucket(ctx, b)
	s.note(err)
	return err
}

// BeginFile implements store.Files.
func (s *Store) BeginFile(ctx context.Context, f store.File) error {
	err := s.Metadata.BeginFile(ctx, f)
	s.note(err)
	return err
}

// CommitFile implements store.Files.
func (s *Store) CommitFile(ctx context.Context, f store.File, begun bool) (store.File, store.FileID, error) {
	stored, replaced, err := s.Metadata.CommitFile(ctx, f, begun)
	s.note(err)
	return stored, replaced, err
}

// CreateSession implements store.Sessions.
func (s *Store) CreateSession(ctx context.Context, n store.Session, ttl time.Duration, limits store.SessionLimits) (store.Session, error) {
	made, err := s.Metadata.CreateSession(ctx, n, ttl, limits)
	s.note(err)
	return made, err
}

// BeginPart implements store.Sessions.
func (s *Store) BeginPart(ctx context.Context, id store.FileID, p store.Part) error {
	err := s.Metadata.BeginPart(ctx, id, p)
	s.note(err)
	return err
}

// CompleteSession implements store.Sessions.
func (s *Store) CompleteSession(ctx context.Context, f store.File, sessions []store.FileID, attempt store.AttemptID) (store.File, store.FileID, error) {
	stored, replaced, err := s.Metadata.CompleteSession(ctx, f, sessions, attempt)
	s.note(err)
	return stored, replaced, err
}
