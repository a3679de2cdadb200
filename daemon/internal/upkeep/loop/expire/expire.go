// Package expire fails uploads that were neither completed nor aborted, because their gateway crashed
// or lost the metadata store, and removes expired sessions. Their chunks are queued for reclaim.
package expire

import (
	"context"
	"log/slog"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "expire"

// DefaultAfter is how long an upload may take where nothing else is set.
const DefaultAfter = 24 * time.Hour

const batch = 100

// Meta is what the loop needs of the metadata store.
type Meta interface {
	Members(ctx context.Context) (store.Membership, error)
	ListFiles(ctx context.Context, q store.FileQuery) (store.FilePage, error)
	FailFile(ctx context.Context, f store.File, reason string, attempted []store.Part) error
}

// Config is what the loop is made of.
type Config struct {
	Meta    Meta
	After   time.Duration // an upload that started so long ago is failed; default DefaultAfter
	Reclaim func()        // called after chunks were put on the reclaim queue; may be nil
	Log     *slog.Logger  // default: slog.Default()
}

// Loop is the upkeep loop. Make it with New.
type Loop struct{ cfg Config }

var _ upkeep.Loop = (*Loop)(nil)

// New makes the loop.
func New(c Config) *Loop {
	if c.After == 0 {
		c.After = DefaultAfter
	}
	if c.Reclaim == nil {
		c.Reclaim = func() {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Loop{cfg: c}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: time.Minute, Throttle: 1} }

// Step fails the oldest uploads that are older than Config.After by the store's clock.
func (l *Loop) Step(ctx context.Context, _ uint64) (upkeep.Outcome, error) {
	idle := upkeep.Outcome{State: upkeep.Idle}
	members, err := l.cfg.Meta.Members(ctx)
	if err != nil {
		return idle, err
	}
	page, err := l.cfg.Meta.ListFiles(ctx, store.FileQuery{State: store.Uploading, Limit: batch})
	if err != nil {
		return idle, err
	}
	limit := members.Now.Add(-l.cfg.After)
	var failed int64
	for _, f := range page.Files {
		if f.CreatedAt.After(limit) {
			break // the others are younger
		}
		if err := l.fail(ctx, f); err != nil {
			return upkeep.Outcome{Items: failed}, err
		}
		failed++
	}
	if failed == 0 {
		return idle, nil
	}
	l.cfg.Reclaim()
	return upkeep.Outcome{State: upkeep.Busy, Items: failed}, nil
}

// fail fails one upload. One that was completed or failed meanwhile is left alone.
func (l *Loop) fail(ctx context.Context, f store.File) error {
	err := l.cfg.Meta.FailFile(ctx, f, "the upload was not completed within "+l.cfg.After.String(), nil)
	if err == nil {
		l.cfg.Log.Info("an upload that was not completed in time was failed", "file", f.ID, "bucket", f.Bucket, "name", f.Key, "began", f.CreatedAt)
		return nil
	}
	if kind := store.KindOf(err); kind == store.NotFound || kind == store.Conflict {
		return nil
	}
	return err
}
