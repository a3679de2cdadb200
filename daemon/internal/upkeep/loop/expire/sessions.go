package expire

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// SessionsName is the name of the loop that ends expired sessions.
const SessionsName = "expire-sessions"

// SessionMeta is what that loop needs of the metadata store.
type SessionMeta interface {
	ListSessions(ctx context.Context, q store.SessionQuery) (store.SessionPage, error)
	AbortSession(ctx context.Context, c store.SessionChange) error
}

// SessionsConfig is what the loop is made of. The time of expiry is part of each session.
type SessionsConfig struct {
	Meta    SessionMeta
	Every   time.Duration // how often to look; default a minute
	Reclaim func()        // called after chunks were put on the reclaim queue; may be nil
	Log     *slog.Logger  // default: slog.Default()
}

// SessionsLoop removes expired sessions and their parts. For all other calls of the metadata store a session does not exist
// from the moment it expires, so none can be revived. Make it with NewSessions.
type SessionsLoop struct{ cfg SessionsConfig }

var _ upkeep.Loop = (*SessionsLoop)(nil)

// NewSessions makes the loop.
func NewSessions(c SessionsConfig) *SessionsLoop {
	if c.Every == 0 {
		c.Every = time.Minute
	}
	if c.Reclaim == nil {
		c.Reclaim = func() {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &SessionsLoop{cfg: c}
}

// Name implements upkeep.Loop.
func (l *SessionsLoop) Name() string { return SessionsName }

// Pace implements upkeep.Loop.
func (l *SessionsLoop) Pace() upkeep.Pace { return upkeep.Pace{Every: l.cfg.Every, Throttle: 1} }

// Step removes a batch of expired sessions.
func (l *SessionsLoop) Step(ctx context.Context, _ uint64) (upkeep.Outcome, error) {
	page, err := l.cfg.Meta.ListSessions(ctx, store.SessionQuery{Expired: true, Limit: batch})
	if err != nil || len(page.Sessions) == 0 {
		return upkeep.Outcome{State: upkeep.Idle}, err
	}
	var ended int64
	for _, s := range page.Sessions {
		err := l.cfg.Meta.AbortSession(ctx, store.SessionChange{Session: s.ID})
		if errors.Is(err, store.NotFound) {
			continue // it was aborted meanwhile
		}
		if err != nil {
			return upkeep.Outcome{Items: ended}, err
		}
		ended++
		l.cfg.Log.Info("an upload session expired and was removed", "session", s.ID, "bucket", s.Bucket, "name", s.Key, "received", s.Received, "expired", s.ExpiresAt)
	}
	l.cfg.Reclaim()
	return upkeep.Outcome{State: upkeep.Busy, Items: ended}, nil
}
