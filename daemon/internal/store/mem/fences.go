package mem

import (
	"context"
	"maps"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// attempt is the outcome of an attempt: it happened, or it was abandoned.
type attempt struct {
	happened bool
	at       time.Time
}

// attempt lets a change happen once, unless it was abandoned. The zero attempt cannot be abandoned.
func (d *data) attempt(id store.AttemptID) error {
	if id.IsZero() {
		return nil
	}
	if was, ok := d.attempts[id]; ok && !was.happened {
		return store.Errorf(store.Conflict, "the change was abandoned before it arrived")
	}
	d.attempts[id] = attempt{happened: true, at: d.now()}
	return nil
}

// Abandon implements store.Fences.
func (m *Metadata) Abandon(ctx context.Context, id store.AttemptID) (happened bool, err error) {
	if id.IsZero() {
		return false, store.Errorf(store.Invalid, "the attempt has no id")
	}
	err = m.do(ctx, func(d *data) error {
		was, ok := d.attempts[id]
		if !ok {
			d.attempts[id] = attempt{at: d.now()}
		}
		happened = was.happened
		return nil
	})
	return happened, err
}

// notDropped refuses a part that was abandoned.
func (d *data) notDropped(id store.PartID) error {
	if _, ok := d.dropped[id]; ok {
		return store.Errorf(store.Conflict, "part %s was abandoned", id)
	}
	return nil
}

// forgetFences removes those older than the limit.
func (d *data) forgetFences(limit time.Time) {
	maps.DeleteFunc(d.dropped, func(_ store.PartID, at time.Time) bool { return at.Before(limit) })
	maps.DeleteFunc(d.attempts, func(_ store.AttemptID, a attempt) bool { return a.at.Before(limit) })
}
