package control

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// AppendEvent implements store.Events.
func (s *Store) AppendEvent(ctx context.Context, e store.Event) (seq store.EventSeq, err error) {
	if err := e.Validate(); err != nil {
		return 0, err
	}
	v, err := db.Values{}.WithEvent(e)
	if err != nil {
		return 0, err
	}
	var n int64
	err = s.calls.Write(ctx, "AppendEvent", func(c *db.Conn) error {
		return c.QueryRow(ctx, s.q.AppendEvent, s.q.Args(s.q.AppendEvent, v)...).Scan(&n)
	})
	return store.EventSeq(n), err
}

// EventsAfter implements store.Events.
func (s *Store) EventsAfter(ctx context.Context, after store.EventSeq, limit int) (page store.EventPage, err error) {
	if err := (store.Retention{}).Validate(limit); err != nil {
		return page, err
	}
	err = s.calls.List(ctx, "EventsAfter", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.EventsAfter, int64(after), limit)
		if err != nil {
			return err
		}
		var trimmed store.EventSeq
		if page, trimmed, err = collectEvents(rows); err != nil {
			return err
		}
		if after < trimmed {
			return store.ErrEventsTrimmed(after, trimmed)
		}
		return nil
	})
	return page, err
}

// collectEvents reads the rows of EventsAfter.
func collectEvents(rows pgx.Rows) (page store.EventPage, trimmed store.EventSeq, err error) {
	var head, last int64
	var seq *int64
	var at *time.Time
	var severity *int16
	var kind, subject, message, caller *string
	var attrs []byte
	_, err = pgx.ForEachRow(rows, []any{&head, &last, &seq, &at, &kind, &severity, &subject, &message, &attrs, &caller}, func() error {
		if seq == nil {
			return nil
		}
		e := store.Event{
			Seq: store.EventSeq(*seq), At: at.UTC(), Kind: *kind, Severity: store.Severity(*severity), Subject: *subject, Message: *message, Caller: *caller,
		}
		e.Attrs, err = pack.ParseStrings(attrs)
		page.Events = append(page.Events, e)
		return err
	})
	page.Head = store.EventSeq(head)
	return page, store.EventSeq(last), err
}

// TrimEvents implements store.Events.
func (s *Store) TrimEvents(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	return s.trim(ctx, "TrimEvents", s.q.TrimEvents, keep, limit)
}

// trim removes what the retention does not keep.
func (s *Store) trim(ctx context.Context, op, text string, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	var age, count any
	if keep.Age > 0 {
		age = keep.Age
	}
	if keep.Count > 0 {
		count = int64(keep.Count)
	}
	n, err := s.calls.Exec(ctx, op, text, age, count, limit)
	return int(n), err
}
