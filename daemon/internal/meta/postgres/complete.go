package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// completion is one CompleteSession.
type completion struct {
	row      fileRow // without parts
	sessions [][16]byte
	parts    [][16]byte // of the file, and their numbers in it
	numbers  []int32
}

func newCompletion(want store.Completion) (*completion, error) {
	f, sessions := want.File, want.Sessions
	wanted, marks := f.Parts, pack.Marks(store.MarksOf(f.Parts))
	f.Parts = nil
	row, err := newFileRow(f, want.Change)
	if err != nil {
		return nil, err
	}
	row.marks = marks
	c := &completion{row: row, sessions: [][16]byte{}, parts: make([][16]byte, len(wanted)), numbers: make([]int32, len(wanted))}
	for _, id := range sessions {
		c.sessions = append(c.sessions, id)
	}
	slices.SortFunc(c.sessions, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	c.sessions = slices.Compact(c.sessions)
	for i, p := range wanted {
		c.parts[i], c.numbers[i] = p.ID, int32(p.Number)
	}
	return c, nil
}

// claim is what a completion found after it had locked the sessions.
type claim struct {
	bucket          bool // exists
	sessions, parts int  // numbers of those that exist
	created         *time.Time
}

// CompleteSession implements store.Sessions.
func (s *Store) CompleteSession(ctx context.Context, x store.Completion) (store.File, store.FileID, error) {
	want, err := newCompletion(x)
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	var done outcome
	var parts []store.Part
	err = s.clients.Write(ctx, "CompleteSession", func(c *db.Conn) (err error) {
		done, parts, err = s.completeSessions(ctx, c, want, x.Attempt)
		return err
	})
	if err != nil {
		return store.File{}, store.FileID{}, err
	}
	stored := storedFile(x.File, x.Change, done)
	stored.Parts = parts
	return stored, done.replaced, nil
}

// completeSessions is one transaction. Its statements after the claim do nothing without it.
func (s *Store) completeSessions(ctx context.Context, c *db.Conn, want *completion, attempt store.AttemptID) (done outcome, parts []store.Part, err error) {
	id := [16]byte(want.row.file.ID)
	var found claim
	outcomes := make([]outcome, 1)
	b := &pgx.Batch{}
	b.Queue(s.q.LockSessions, want.sessions)
	s.guard(b, &want.row)
	claims := fileValues(&want.row)
	claims["sessions"], claims["parts"] = want.sessions, want.parts
	b.Queue(s.q.ClaimSessions, s.q.Args(s.q.ClaimSessions, claims)...).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&found.bucket, &found.sessions, &found.parts, &found.created)
		})
	b.Queue(s.q.ReplaceLatest, replaceArgs(id, &want.row)...).
		Query(func(answer pgx.Rows) error { return readReplaced(answer, []*fileRow{&want.row}, outcomes) })
	s.setMarks(b, &want.row, claimed)
	left := [16]byte(store.NewFileID())
	b.Queue(s.q.NoteAttempt, attemptOrNull(attempt), id)
	b.Queue(s.q.HandOver, id, want.parts, want.numbers, want.sessions, left)
	b.Queue(s.q.TakeParts, id, want.parts, want.numbers, left)
	b.Queue(s.q.EndSessions, want.sessions, id, left)
	b.Queue(s.q.ShowFile, id, string(want.row.file.Bucket)).Query(func(answer pgx.Rows) error {
		_, err := pgx.ForEachRow(answer, []any{&outcomes[0].completedAt, &outcomes[0].seq}, func() error { return nil })
		return err
	})
	b.Queue(s.q.PartsOf, id).Query(func(answer pgx.Rows) (err error) {
		parts, err = pgx.CollectRows(answer, scan.ReadPart)
		return err
	})
	if err := db.Pipeline(ctx, c, b); err != nil {
		return done, nil, err
	}
	if err := want.missing(found); err != nil {
		return done, nil, err
	}
	done = outcomes[0]
	done.createdAt = *found.created
	return done, parts, nil
}

// missing returns an error for what a claim did not find.
func (w *completion) missing(found claim) error {
	switch {
	case !found.bucket:
		return store.ErrNoBucket(w.row.file.Bucket)
	case found.sessions < len(w.sessions):
		return store.Errorf(store.NotFound, "%d of %d sessions do not exist, or have expired", len(w.sessions)-found.sessions, len(w.sessions))
	case found.parts < len(w.parts):
		return store.Errorf(store.Conflict, "%d of %d parts were replaced in the meantime", len(w.parts)-found.parts, len(w.parts)).
			WithHint("Read the session, then complete it again.")
	}
	return nil
}
