// Package watch records whether a metadata store accepts writes, so that a health check and the
// membership view can report a store that is only readable: its disk is full, or it is read-only.
package watch

import (
	"context"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Store is a metadata store that records the outcome of its last writes. Safe for concurrent use.
//
// Heartbeats are the probe: they are small, wait for no other change, and arrive whether or not a client
// writes. So a change in either direction is noticed within one heartbeat. Deletes are no probe: a store
// may reserve space for them.
type Store struct {
	store.Metadata
	fresh time.Duration
	now   func() time.Time

	mu       sync.Mutex // guards what follows
	failure  error      // of the last write that counts; nil when it succeeded
	failedAt time.Time
}

// New watches a store. heartbeat is the interval of the nodes' heartbeats: a failure that no write within three such
// intervals has confirmed is dropped, because a gateway that receives no heartbeats has no other probe.
func New(meta store.Metadata, heartbeat time.Duration) *Store {
	return &Store{Metadata: meta, fresh: 3 * heartbeat, now: time.Now}
}

// WriteFailure returns why the store accepts no writes (NoSpace or Unavailable), or nil.
func (s *Store) WriteFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil && s.now().Sub(s.failedAt) > s.fresh {
		s.failure = nil
	}
	return s.failure
}

// Ping implements store.Metadata. While writes fail it fails too, with their kind and cause.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.Metadata.Ping(ctx); err != nil {
		return err
	}
	return s.WriteFailure()
}

// note records the outcome of a client's write. Of its failures only a full disk counts: it may be Unavailable for
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
func (s *Store) CreateBucket(ctx context.Context, b store.Bucket, caller string) error {
	err := s.Metadata.CreateBucket(ctx, b, caller)
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
func (s *Store) CommitFile(ctx context.Context, c store.Commit) (store.File, store.FileID, error) {
	stored, replaced, err := s.Metadata.CommitFile(ctx, c)
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
func (s *Store) CompleteSession(ctx context.Context, c store.Completion) (store.File, store.FileID, error) {
	stored, replaced, err := s.Metadata.CompleteSession(ctx, c)
	s.note(err)
	return stored, replaced, err
}
