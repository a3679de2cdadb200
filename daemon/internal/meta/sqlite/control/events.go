package control

import (
	"context"
	"database/sql"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Tell appends an event in the transaction of the change that it tells of.
func (s *Store) Tell(t *db.Tx, e store.Event) (seq store.EventSeq, err error) {
	attrs, err := db.Document(e.Attrs)
	if err != nil {
		return 0, err
	}
	if err := t.Row(s.db.Q.NextEvent).Scan(&seq); err != nil {
		return 0, err
	}
	_, err = t.Exec(s.db.Q.InsertEvent, int64(seq), db.Micros(s.db.Now()), e.Kind, int64(e.Severity), e.Subject, e.Message, attrs, e.Caller)
	return seq, err
}

// AppendEvent implements store.Events.
func (s *Store) AppendEvent(ctx context.Context, e store.Event) (seq store.EventSeq, err error) {
	if err := e.Validate(); err != nil {
		return 0, err
	}
	err = s.db.Write(ctx, "AppendEvent", func(t *db.Tx) error {
		seq, err = s.Tell(t, e)
		return err
	})
	return seq, err
}

// EventsAfter implements store.Events.
func (s *Store) EventsAfter(ctx context.Context, after store.EventSeq, limit int) (page store.EventPage, err error) {
	if err := (store.Retention{}).Validate(limit); err != nil {
		return page, err
	}
	err = s.db.List(ctx, "EventsAfter", func(r *db.Reader) error {
		page = store.EventPage{}
		var trimmed store.EventSeq
		if err := r.Row(s.db.Q.EventHead).Scan(&page.Head, &trimmed); err != nil {
			return err
		}
		if after < trimmed {
			return store.ErrEventsTrimmed(after, trimmed)
		}
		rows, err := r.Query(s.db.Q.EventsAfter, int64(after), limit)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
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
	e.At = db.FromMicros(at)
	e.Attrs, err = pack.ParseStrings(attrs)
	return e, err
}

// TrimEvents implements store.Events.
func (s *Store) TrimEvents(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	err = s.db.Write(ctx, "TrimEvents", func(t *db.Tx) error {
		var head, last int64
		if err := t.Row(s.db.Q.EventHead).Scan(&head, &last); err != nil {
			return err
		}
		upTo, before := int64(0), int64(0)
		if keep.Count > 0 {
			upTo = head - int64(keep.Count)
		}
		if keep.Age > 0 {
			before = db.Micros(s.db.Now().Add(-keep.Age))
		}
		n, err := t.Exec(s.db.Q.TrimEvents, last+1, upTo, before, limit)
		trimmed = int(n)
		return err
	})
	return trimmed, err
}
