// Package trim removes events and ended jobs that are older than operators need, or more than they read.
package trim

import (
	"cmp"
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "trim"

// What is kept where nothing else is set.
var (
	DefaultEvents = store.Retention{Age: 90 * 24 * time.Hour, Count: 100_000}
	DefaultJobs   = store.Retention{Age: 90 * 24 * time.Hour, Count: 1000}
)

const batch = store.MaxListLimit

// Meta is what the loop needs of the metadata store.
type Meta interface {
	TrimEvents(ctx context.Context, keep store.Retention, limit int) (int, error)
	TrimJobs(ctx context.Context, keep store.Retention, limit int) (int, error)
}

// Config is what the loop is made of. A zero retention is the default.
type Config struct {
	Meta         Meta
	Events, Jobs store.Retention
}

// Loop is the upkeep loop. Make it with New.
type Loop struct{ cfg Config }

var _ upkeep.Loop = (*Loop)(nil)

// New makes the loop.
func New(c Config) *Loop {
	c.Events, c.Jobs = cmp.Or(c.Events, DefaultEvents), cmp.Or(c.Jobs, DefaultJobs)
	return &Loop{cfg: c}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: 10 * time.Minute, Throttle: 4} }

// Step removes a batch of each.
func (l *Loop) Step(ctx context.Context, _ uint64) (upkeep.Outcome, error) {
	events, err := l.cfg.Meta.TrimEvents(ctx, l.cfg.Events, batch)
	if err != nil {
		return upkeep.Outcome{}, err
	}
	jobs, err := l.cfg.Meta.TrimJobs(ctx, l.cfg.Jobs, batch)
	out := upkeep.Outcome{State: upkeep.Idle, Items: int64(events + jobs)}
	if events == batch || jobs == batch {
		out.State = upkeep.Busy // there may be more
	}
	return out, err
}
