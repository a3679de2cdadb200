package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxGroup bounds how many changes share one commit, so that none waits for very many others.
const maxGroup = 256

// writer makes all changes, in one goroutine on one connection. Changes that
// came while the one before was being committed share the next commit. Nobody waits for company:
// a lone change is committed at once.
type writer struct {
	db    *sql.DB
	tx    tx // used by the goroutine only
	queue chan *change
	done  chan struct{} // the goroutine has ended

	mu     sync.RWMutex // guards closed, and queue against being closed while somebody sends
	closed bool
}

// change is one call to the writer.
type change struct {
	f      func(*tx) error
	result chan error // one value, buffered
	err    error      // of f
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{db: db, tx: tx{statements{conn: conn, prepared: map[string]*sql.Stmt{}}}, queue: make(chan *change, maxGroup), done: make(chan struct{})}
	go w.run()
	return w, nil
}

// do runs f in a transaction and returns its error, or nil once it is durable.
// When ctx ends first, f may still be run.
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
		return ctx.Err()
	}
}

func (w *writer) send(ctx context.Context, c *change) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed("write")
	}
	select {
	case w.queue <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) isClosed() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.closed
}

// close finishes what was taken, and closes the database.
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
	return errors.Join(w.tx.close(), w.db.Close())
}

func (w *writer) run() {
	defer close(w.done)
	group := make([]*change, 0, maxGroup)
	for c := range w.queue {
		group = append(group[:0], c)
	waiting:
		for len(group) < maxGroup {
			select {
			case c, open := <-w.queue:
				if !open {
					break waiting
				}
				group = append(group, c)
			default:
				break waiting
			}
		}
		err := w.commit(group)
		for _, c := range group {
			if err != nil {
				c.err = err
			}
			c.result <- c.err
		}
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
			return err
		}
	}
	_, err := t.exec("RELEASE one")
	return err
}

// rollback ends the transaction. That fails only where SQLite has ended it
// already, as it does when the disk is full.
func (t *tx) rollback() { _, _ = t.exec("ROLLBACK") }
