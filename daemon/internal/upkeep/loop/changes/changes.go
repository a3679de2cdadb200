// Package changes numbers the changes of objects, counts them in the usage of their buckets, and removes those that are older than
// followers need, or more. So both are done whether or not someone reads changes.
package changes

import (
	"cmp"
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Name is the loop's name.
const Name = "changes"

// Default is what is kept where nothing else is set: a follower may be away for so long, or miss so many changes.
var Default = store.Retention{Age: 24 * time.Hour, Count: 1_000_000}

const batch = store.MaxListLimit

// Meta is what the loop needs of the metadata store.
type Meta interface {
	TrimChanges(ctx context.Context, keep store.Retention, limit int) (int, error)
}

// Config is what the loop is made of. A zero retention is the default.
type Config struct {
	Meta Meta
	Keep store.Retention
}

// Loop is the upkeep loop. Make it with New.
type Loop struct{ cfg Config }

var _ upkeep.Loop = (*Loop)(nil)

// New makes the loop.
func New(c Config) *Loop {
	c.Keep = cmp.Or(c.Keep, Default)
	return &Loop{cfg: c}
}

// Name implements upkeep.Loop.
func (l *Loop) Name() string { return Name }

// Pace implements upkeep.Loop. What has no number yet is added up whenever a usage is read, so it must not become much.
func (l *Loop) Pace() upkeep.Pace { return upkeep.Pace{Every: time.Second, Throttle: 1} }

// Step numbers all new changes, and removes a batch of old ones.
func (l *Loop) Step(ctx context.Context, _ uint64) (upkeep.Outcome, error) {
	trimmed, err := l.cfg.Meta.TrimChanges(ctx, l.cfg.Keep, batch)
	out := upkeep.Outcome{State: upkeep.Idle, Items: int64(trimmed)}
	if trimmed == batch {
		out.State = upkeep.Busy // there may be more
	}
	return out, err
}
