package sqlite

import (
	"context"
	"database/sql"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// tell appends an event in the transaction of the change that it tells of.
func (s *Store) tell(t *tx, e store.Event) (seq store.EventSeq, err error) {
	attrs, err := metaColumn(e.Attrs)
	if err != nil {
		return 0, err
	}
	if err := t.row(s.q.NextEvent).scan(&seq); err != nil {
		return 0, err
	}
	_, err = t.exec(s.q.InsertEvent, int64(seq), micros(s.now()), e.Kind, int64(e.Severity), e.Subject, e.Message, attrs, e.Caller)
	return seq, err
}

// AppendEvent implements store.Events.
func (s *Store) AppendEvent(ctx context.Context, e store.Event) (seq store.EventSeq, err error) {
	if err := e.Validate(); err != nil {
		return 0, err
	}
	err = s.write(ctx, "AppendEvent", func(t *tx) error {
		seq, err = s.tell(t, e)
		return err
	})
	return seq, err
}

// EventsAfter implements store.Events.
func (s *Store) EventsAfter(ctx context.Context, after store.EventSeq, limit int) (page store.EventPage, err error) {
	if err := (store.Retention{}).Validate(limit); err != nil {
		return page, err
	}
	err = s.read(ctx, "EventsAfter", func(r *reader) error {
		page = store.EventPage{}
		var trimmed store.EventSeq
		if err := r.row(s.q.EventHead).scan(&page.Head, &trimmed); err != nil {
			return err
		}
		if after < trimmed {
			return store.ErrEventsTrimmed(after, trimmed)
		}
		rows, err := r.query(s.q.EventsAfter, int64(after), limit)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			e, err := scanEvent(rows)
			page.Events = append(page.Events, e)
			return err
		})
	})
	return page, err
}

func scanEvent(rows *sql.Rows) (e store.Event, err error) {
	var at int64
	var attrs []byte
	if err := rows.Scan(&e.Seq, &at, &e.Kind, &e.Severity, &e.Subject, &e.Message, &attrs, &e.Caller); err != nil {
		return e, err
	}
	e.At = fromMicros(at)
	e.Attrs, err = pack.ParseStrings(attrs)
	return e, err
}

// TrimEvents implements store.Events.
func (s *Store) TrimEvents(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	err = s.write(ctx, "TrimEvents", func(t *tx) error {
		var head, last int64
		if err := t.row(s.q.EventHead).scan(&head, &last); err != nil {
			return err
		}
		upTo, before := int64(0), int64(0)
		if keep.Count > 0 {
			upTo = head - int64(keep.Count)
		}
		if keep.Age > 0 {
			before = micros(s.now().Add(-keep.Age))
		}
		n, err := t.exec(s.q.TrimEvents, last+1, upTo, before, limit)
		trimmed = int(n)
		return err
	})
	return trimmed, err
}
