package db

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/failure"
)

// maxGroup bounds how many changes share one commit, and so how long each waits for the others.
const maxGroup = 256

// maxTight bounds a group while the disk is full.
const maxTight = 16

// writer makes all changes, in one goroutine on one connection. Changes that
// arrive during a commit share the next one. No change waits for others to arrive:
// a single change is committed at once.
type writer struct {
	tx    Tx // used by the goroutine only
	idle  time.Duration
	tight *atomic.Bool // the disk is full, and changes use the reserve
	queue chan *change
	done  chan struct{} // the goroutine has ended

	mu     sync.RWMutex // guards closed, and queue against being closed during a send
	closed bool
}

// change is one call to the writer.
type change struct {
	f      func(*Tx) error
	begun  atomic.Bool // set by the owner of the change: the writer runs it, or the caller cancels it
	result chan error  // one value, buffered
	err    error       // of f
}

func newWriter(conn *sql.Conn, q *Queries, idle time.Duration, tight *atomic.Bool) *writer {
	w := &writer{tx: Tx{Statements: newStatements(conn), q: q}, idle: idle, tight: tight, queue: make(chan *change, maxGroup), done: make(chan struct{})}
	go w.run()
	return w
}

// do runs f in a transaction and returns its error, or nil once it is durable.
// When ctx ends while f is queued, f is not run. Once f has begun do waits for its
// end, so that f may use variables of the caller, and the outcome is known.
func (w *writer) do(ctx context.Context, f func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{f: f, result: make(chan error, 1)}
	if err := w.send(ctx, c); err != nil {
		return err
	}
	select {
	case err := <-c.result:
		return err
	case <-ctx.Done():
		if c.begun.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-c.result
	}
}

func (w *writer) send(ctx context.Context, c *change) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	select {
	case w.queue <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close finishes the queued changes, and returns the connection. It may be called more than once.
func (w *writer) close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	close(w.queue)
	w.mu.Unlock()
	<-w.done
	return w.tx.close()
}

func (w *writer) run() {
	defer close(w.done)
	group := make([]*change, 0, maxGroup)
	rest := time.NewTimer(w.idle)
	defer rest.Stop()
	for {
		select {
		case c, open := <-w.queue:
			if !open {
				return
			}
			runtime.Gosched() // callers that are about to send run first, and share the commit
			group = w.gather(append(group[:0], c))
			w.serve(group)
			clear(group) // keeps nothing of the callers alive
			rest.Reset(w.idle)
		case <-rest.C:
			w.tx.checkpoint()
		}
	}
}

// gather adds the changes that are queued already.
func (w *writer) gather(group []*change) []*change {
	most := maxGroup
	if w.tight.Load() {
		most = maxTight
	}
	for len(group) < most {
		select {
		case c, open := <-w.queue:
			if !open {
				return group
			}
			group = append(group, c)
		default:
			return group
		}
	}
	return group
}

// serve commits the changes that were not canceled, and returns their results.
func (w *writer) serve(group []*change) {
	live := group[:0]
	for _, c := range group {
		if c.begun.CompareAndSwap(false, true) {
			live = append(live, c)
		}
	}
	if len(live) == 0 {
		return
	}
	if w.tight.Load() {
		w.tx.checkpoint() // so that the log never grows beyond one small group
	}
	err := w.commit(live)
	full := failure.IsDiskFull(err)
	for _, c := range live {
		full = full || failure.IsDiskFull(c.err)
	}
	if full {
		w.tx.checkpoint() // truncates the log, so that a retry has room
	}
	for _, c := range live {
		if err != nil {
			c.err = err
		}
		c.result <- c.err
	}
}

// commit runs the group in one transaction; an error means that all of it was rolled back.
func (w *writer) commit(group []*change) error {
	t := &w.tx
	t.forget()
	if _, err := t.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, c := range group {
		if err := t.runOne(c, len(group) == 1); err != nil {
			t.rollback()
			return err
		}
	}
	if len(group) == 1 && group[0].err != nil {
		t.rollback()
		return nil
	}
	if err := t.FlushCounts(); err != nil {
		t.rollback()
		return err
	}
	// The group becomes durable here: COMMIT returns after the log is synced.
	if _, err := t.Exec("COMMIT"); err != nil {
		t.rollback()
		return err
	}
	return nil
}

// Tx is what a change may do. It belongs to the writer's goroutine.
type Tx struct {
	Statements
	q *Queries
	ledger
}

// runOne runs a change; an error of the change undoes that change only. The returned error concerns the whole transaction.
func (t *Tx) runOne(c *change, alone bool) error {
	if alone {
		c.err = c.f(t)
		return nil
	}
	if _, err := t.Exec("SAVEPOINT one"); err != nil {
		return err
	}
	before := t.ledger.clone()
	if c.err = c.f(t); c.err != nil {
		t.ledger = before
		if _, err := t.Exec("ROLLBACK TO one"); err != nil {
			// A full disk or a read error has ended the whole transaction: report that first.
			return errors.Join(c.err, err)
		}
	}
	_, err := t.Exec("RELEASE one")
	return err
}

// rollback ends the transaction. It fails only where SQLite has ended it
// already, as it does when the disk is full.
func (t *Tx) rollback() { _, _ = t.Exec("ROLLBACK") }

// checkpoint moves the log into the database and truncates it, so that an idle store
// is one file and opens fast. What cannot be moved now, because of a
// reader or an error, stays in the log until the next checkpoint.
func (t *Tx) checkpoint() {
	var busy, pages, moved int
	_ = t.Row("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
}
