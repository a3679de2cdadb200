package mem

import (
	"context"
	"maps"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// tell appends an event in the step of the change that it tells of.
func (d *data) tell(e store.Event) {
	d.head++
	e.Seq, e.At, e.Attrs = d.head, d.now(), maps.Clone(e.Attrs)
	d.events = append(d.events, e)
}

// AppendEvent implements store.Events.
func (m *Metadata) AppendEvent(ctx context.Context, e store.Event) (seq store.EventSeq, err error) {
	if err := e.Validate(); err != nil {
		return 0, err
	}
	err = m.do(ctx, func(d *data) error {
		d.tell(e)
		seq = d.head
		return nil
	})
	return seq, err
}

// EventsAfter implements store.Events.
func (m *Metadata) EventsAfter(ctx context.Context, after store.EventSeq, limit int) (page store.EventPage, err error) {
	if err := (store.Retention{}).Validate(limit); err != nil {
		return page, err
	}
	err = m.do(ctx, func(d *data) error {
		if trimmed := d.head - store.EventSeq(len(d.events)); after < trimmed {
			return store.ErrEventsTrimmed(after, trimmed)
		}
		page.Head = d.head
		for _, e := range d.events {
			if e.Seq > after && len(page.Events) < limit {
				e.Attrs = maps.Clone(e.Attrs)
				page.Events = append(page.Events, e)
			}
		}
		return nil
	})
	return page, err
}

// TrimEvents implements store.Events.
func (m *Metadata) TrimEvents(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	err = m.do(ctx, func(d *data) error {
		now := d.now()
		for trimmed < limit && len(d.events) > 0 {
			tooMany := keep.Count > 0 && len(d.events) > keep.Count
			tooOld := keep.Age > 0 && d.events[0].At.Before(now.Add(-keep.Age))
			if !tooMany && !tooOld {
				break
			}
			d.events = d.events[1:]
			trimmed++
		}
		return nil
	})
	return trimmed, err
}
