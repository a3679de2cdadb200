package db

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opened(t *testing.T) *DB {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "metadata.db"), Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestEveryConnectionHasTheSettings(t *testing.T) {
	t.Parallel()
	s := opened(t)
	check := func(st *Statements) {
		for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "busy_timeout": "5000"} {
			var got string
			require.NoError(t, st.Row("PRAGMA "+pragma).Scan(&got))
			require.Equal(t, want, got, pragma)
		}
	}
	require.NoError(t, s.writer.do(t.Context(), func(tx *Tx) error { check(&tx.Statements); return nil }))
	for range cap(s.readers.idle) {
		r := <-s.readers.idle
		defer func() { s.readers.idle <- r }()
		check(&r.Statements)
		_, err := r.Exec("DELETE FROM buckets")
		require.Error(t, err, "a reader cannot write")
	}
}

// stalled blocks the writer inside a change until release is called.
func stalled(t *testing.T, w *writer) (release func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- w.do(context.Background(), func(*Tx) error { close(in); <-out; return nil })
	}()
	<-in
	return func() { close(out); require.NoError(t, <-done) }
}

// await waits until that many changes are queued.
func await(t *testing.T, w *writer, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(w.queue) == n }, 20*time.Second, time.Millisecond)
}

func TestWaitingChangesShareOneCommit(t *testing.T) {
	t.Parallel()
	w := opened(t).writer
	release := stalled(t, w)
	const count = 20
	ran := 0 // by the writer alone; read after an answer
	var all sync.WaitGroup
	for range count {
		all.Go(func() {
			if err := w.do(context.Background(), func(*Tx) error { ran++; return nil }); err != nil {
				t.Error(err)
			}
			if ran != count {
				t.Errorf("answered after %d of %d changes", ran, count)
			}
		})
	}
	await(t, w, count)
	release()
	all.Wait()
}

func TestAFailingChangeIsUndoneAlone(t *testing.T) {
	t.Parallel()
	s := opened(t)
	release := stalled(t, s.writer)
	refused := errors.New("refused")
	insert := func(name string, then error) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := tx.Exec(s.Q.CreateBucket, name, 0, 0)
			return errors.Join(err, then)
		}
	}
	var good, bad error
	var both sync.WaitGroup
	both.Go(func() { bad = s.writer.do(context.Background(), insert("bad", refused)) })
	await(t, s.writer, 1)
	both.Go(func() { good = s.writer.do(context.Background(), insert("good", nil)) })
	await(t, s.writer, 2)
	release()
	both.Wait()
	require.NoError(t, good)
	require.ErrorIs(t, bad, refused)
	require.NoError(t, s.Read(t.Context(), "Test", func(r *Reader) error {
		var names string
		err := r.Row("SELECT group_concat(name) FROM buckets").Scan(&names)
		require.Equal(t, "good", names)
		return err
	}))
}

func TestAChangeGivenUpBeforeItsTurnIsNotRun(t *testing.T) {
	t.Parallel()
	w := opened(t).writer
	release := stalled(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	ran := false
	go func() { result <- w.do(ctx, func(*Tx) error { ran = true; return nil }) }()
	await(t, w, 1)
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	release()
	require.NoError(t, w.do(t.Context(), func(*Tx) error { return nil }))
	require.False(t, ran)
}

func TestAChangeThatHasBegunIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := opened(t).writer
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, w.do(ctx, func(*Tx) error { cancel(); return nil }))
}

func TestFullIsNoSpaceAndPasses(t *testing.T) {
	t.Parallel()
	s := opened(t)
	limit := func(pages int) {
		require.NoError(t, s.writer.do(t.Context(), func(tx *Tx) error {
			_, err := tx.conn.ExecContext(context.Background(), "PRAGMA max_page_count = "+[]string{"1", "1073741823"}[pages])
			return err
		}))
	}
	limit(0) // the least possible: what the file has now
	save := func() error {
		return s.Write(context.Background(), "SaveCredential", func(tx *Tx) error {
			_, err := tx.Exec(s.Q.SaveCredential, "k", make([]byte, 1<<20), "", 0)
			return err
		})
	}
	require.ErrorIs(t, save(), store.NoSpace)
	require.NotEmpty(t, store.HintOf(save()))

	release := stalled(t, s.writer) // and in a group: the transaction was rolled back, and every caller learns it
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = save() })
	}
	await(t, s.writer, len(errs))
	release()
	all.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, store.NoSpace)
	}
	limit(1)
	require.NoError(t, save())
}

func TestANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	s, err := Open(t.Context(), path, Options{})
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), "test", func(tx *Tx) error {
		_, err := tx.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
		return err
	}))
	require.NoError(t, s.Close())
	_, err = Open(t.Context(), path, Options{})
	require.ErrorIs(t, err, store.Conflict)
	require.NotEmpty(t, store.HintOf(err))
}

func TestAnotherWriterIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	s, err := Open(t.Context(), path, Options{})
	require.NoError(t, err)
	defer s.Close()
	other, err := sql.Open("sqlite", dsn(path, "_txlock=immediate"))
	require.NoError(t, err)
	defer other.Close()
	held, err := other.Begin()
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() {
		result <- s.Write(context.Background(), "Test", func(tx *Tx) error { _, err := tx.Exec(s.Q.CreateBucket, "waits", 0, 0); return err })
	}()
	await(t, s.writer, 0)
	require.NoError(t, held.Rollback())
	require.NoError(t, <-result)
}

// usage is what the row of a bucket counts.
type usage struct{ bytes, files, seq int64 }

func usageOf(t *testing.T, s *DB, name string) (u usage) {
	t.Helper()
	require.NoError(t, s.Read(t.Context(), "Test", func(r *Reader) error {
		return r.Row("SELECT bytes, files, seq FROM buckets WHERE name = ?", name).Scan(&u.bytes, &u.files, &u.seq)
	}))
	return u
}

// inOneGroup runs the changes in one transaction, in order, and returns their errors.
func inOneGroup(t *testing.T, s *DB, changes ...func(*Tx) error) []error {
	t.Helper()
	release := stalled(t, s.writer)
	errs := make([]error, len(changes))
	var all sync.WaitGroup
	for i, f := range changes {
		all.Go(func() { errs[i] = s.writer.do(context.Background(), f) })
		await(t, s.writer, i+1)
	}
	release()
	all.Wait()
	return errs
}

func TestAGroupCountsOnce(t *testing.T) {
	t.Parallel()
	s := opened(t)
	require.NoError(t, s.Write(t.Context(), "Test", func(tx *Tx) error { _, err := tx.Exec(s.Q.CreateBucket, "b", 0, 0); return err }))
	refused := errors.New("refused")
	lookups := 0
	var seqs []uint64
	count := func(bytes int64, then error) func(*Tx) error {
		return func(tx *Tx) error {
			id, err := tx.BucketID("b", func() (id int64, err error) {
				lookups++
				return id, tx.Row("SELECT id FROM buckets WHERE name = 'b'").Scan(&id)
			})
			if err != nil {
				return err
			}
			seq, err := tx.Count(id, bytes, 1)
			seqs = append(seqs, seq)
			return errors.Join(err, then)
		}
	}
	errs := inOneGroup(t, s, count(10, nil), count(5, refused), count(1, nil))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], refused)
	require.NoError(t, errs[2])
	require.Equal(t, 1, lookups)
	require.Equal(t, []uint64{1, 2, 2}, seqs, "the number of the change that was undone is drawn again")
	require.Equal(t, usage{11, 2, 2}, usageOf(t, s, "b"), "and it is not counted")
	require.NoError(t, s.writer.do(t.Context(), count(1, nil)))
	require.Equal(t, usage{12, 3, 3}, usageOf(t, s, "b"))
}

// The row of a new bucket may have the id of one that was deleted in the same transaction.
func TestAFlushedGroupCountsNothingForTheNextBucket(t *testing.T) {
	t.Parallel()
	s := opened(t)
	find := func(tx *Tx) func() (int64, error) {
		return func() (id int64, err error) { return id, tx.Row("SELECT max(id) FROM buckets").Scan(&id) }
	}
	create := func(name string) func(*Tx) error {
		return func(tx *Tx) error { _, err := tx.Exec(s.Q.CreateBucket, name, 0, 0); return err }
	}
	var old, next int64
	errs := inOneGroup(t, s, create("old"), func(tx *Tx) (err error) {
		if old, err = tx.BucketID("old", find(tx)); err == nil {
			_, err = tx.Count(old, 7, 1)
		}
		return err
	}, func(tx *Tx) error {
		if err := tx.FlushCounts(); err != nil {
			return err
		}
		_, err := tx.Exec(s.Q.DropBucket, old)
		return err
	}, create("next"), func(tx *Tx) (err error) {
		next, err = tx.BucketID("next", find(tx))
		return err
	})
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, old, next)
	require.Equal(t, usage{}, usageOf(t, s, "next"))
}
