package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// maxGroup bounds how many changes share one commit, so that none waits for very many others.
const maxGroup = 256

// maxTight bounds a group while the disk is full.
const maxTight = 16

// writer makes all changes, in one goroutine on one connection. Changes that
// came while the one before was being committed share the next commit. Nobody waits for company:
// a lone change is committed at once.
type writer struct {
	tx    tx // used by the goroutine only
	idle  time.Duration
	tight *atomic.Bool // the disk is full, and changes use what was kept for them
	queue chan *change
	done  chan struct{} // the goroutine has ended

	mu     sync.RWMutex // guards closed, and queue against being closed while somebody sends
	closed bool
}

// change is one call to the writer.
type change struct {
	f      func(*tx) error
	begun  atomic.Bool // whoever sets it owns the change: the writer to run it, the caller to give it up
	result chan error  // one value, buffered
	err    error       // of f
}

func newWriter(conn *sql.Conn, idle time.Duration, tight *atomic.Bool) *writer {
	w := &writer{tx: tx{newStatements(conn)}, idle: idle, tight: tight, queue: make(chan *change, maxGroup), done: make(chan struct{})}
	go w.run()
	return w
}

// do runs f in a transaction and returns its error, or nil once it is durable.
// When ctx ends while f waits for its turn, f is not run. Once f has begun its
// end is waited for, so that f may use what belongs to the caller, and the outcome is known.
func (w *writer) do(ctx context.Context, f func(*tx) error) error {
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
		return errClosed
	}
	select {
	case w.queue <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close finishes what was taken, and gives the connection back. It may be called more than once.
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
			group = w.gather(append(group[:0], c))
			w.serve(group)
			clear(group) // keeps nothing of the callers alive
			rest.Reset(w.idle)
		case <-rest.C:
			w.tx.checkpoint()
		}
	}
}

// gather adds the changes that wait already.
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

// serve commits the changes that were not given up, and answers.
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
		w.tx.checkpoint() // so that the log never needs more than one small group does
	}
	err := w.commit(live)
	full := isDiskFull(err)
	for _, c := range live {
		full = full || isDiskFull(c.err)
	}
	if full {
		w.tx.checkpoint() // cuts the log off, so that a second try has room
	}
	for _, c := range live {
		if err != nil {
			c.err = err
		}
		c.result <- c.err
	}
}

// commit runs the group in one transaction; an error means that none of it happened.
func (w *writer) commit(group []*change) error {
	t := &w.tx
	if _, err := t.exec("BEGIN IMMEDIATE"); err != nil {
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
	// Here the group becomes durable: COMMIT returns after the log is synced.
	if _, err := t.exec("COMMIT"); err != nil {
		t.rollback()
		return err
	}
	return nil
}

// tx is what a change may do. It belongs to the writer's goroutine.
type tx struct{ statements }

// runOne runs a change; its own error undoes it alone. The error returned is of the transaction itself.
func (t *tx) runOne(c *change, alone bool) error {
	if alone {
		c.err = c.f(t)
		return nil
	}
	if _, err := t.exec("SAVEPOINT one"); err != nil {
		return err
	}
	if c.err = c.f(t); c.err != nil {
		if _, err := t.exec("ROLLBACK TO one"); err != nil {
			// A full disk or a read error has ended the whole transaction: say that, not what followed.
			return errors.Join(c.err, err)
		}
	}
	_, err := t.exec("RELEASE one")
	return err
}

// rollback ends the transaction. That fails only where SQLite has ended it
// already, as it does when the disk is full.
func (t *tx) rollback() { _, _ = t.exec("ROLLBACK") }

// checkpoint moves the log into the database and cuts it off, so that a store at
// rest is one file and starts at once. What cannot be moved now, because of a
// reader or an error, stays in the log and is moved another time.
func (t *tx) checkpoint() {
	var busy, pages, moved int
	_ = t.row("PRAGMA wal_checkpoint(TRUNCATE)").scan(&busy, &pages, &moved)
}
