// Package group lets commits that arrive at the same time share a transaction.
package group

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
)

const (
	// lanes is how many groups are in flight at once. While one waits for the
	// server's disk the next is computed; more lanes only make groups smaller.
	lanes = 2
	// maxGroup bounds a group, and with it how long its transaction holds rows.
	maxGroup = 64
)

// Committer groups commits: a commit that finds a free lane is sent at
// once and alone, and those that arrive while all lanes are busy share
// the next group. No commit waits for others to arrive.
//
// Two commits of one name are never in flight at the same time, so within a
// gateway they queue here instead of colliding in the database.
// Name is what a row's name is compared by, Row what is stored, Outcome what the caller learns of it.
type Committer[Name comparable, Row, Outcome any] struct {
	limit time.Duration // of one transaction
	name  func(Row) Name
	store func(context.Context, []Row) ([]Outcome, error)

	mu      sync.Mutex // guards the following fields
	waiting []*commit[Row, Outcome]
	names   map[Name]bool // those in flight
	running int           // lanes in use
	closed  bool
	idle    sync.WaitGroup // one count per lane in use
}

// commit is the commit of one caller.
type commit[Row, Outcome any] struct {
	row   Row
	left  bool  // its caller has returned; guarded by Committer.mu
	group *lane // that stores it, while it is being stored; guarded by Committer.mu

	done chan struct{} // closed after the following fields were set
	got  Outcome
	err  error
}

// lane is one transaction in progress.
type lane struct {
	live   int // callers that still wait; guarded by Committer.mu
	cancel context.CancelFunc
}

// New returns a Committer of rows with these names that stores groups with f, each within the limit: no
// single caller can cancel a group, and a group must not hold its lane indefinitely.
func New[Name comparable, Row, Outcome any](limit time.Duration, name func(Row) Name, f func(context.Context, []Row) ([]Outcome, error)) *Committer[Name, Row, Outcome] {
	return &Committer[Name, Row, Outcome]{limit: limit, name: name, store: f, names: map[Name]bool{}}
}

// Commit stores the row and returns what became of it. When ctx ends first, a row that was not
// being stored is dropped, and one that was is never retried: its outcome is open. The
// transaction of a group is canceled when the last of its callers has returned.
func (g *Committer[Name, Row, Outcome]) Commit(ctx context.Context, row Row) (Outcome, error) {
	var none Outcome
	if err := ctx.Err(); err != nil {
		return none, err
	}
	c := &commit[Row, Outcome]{row: row, done: make(chan struct{})}
	if !g.enter(c) {
		return none, link.ErrClosed
	}
	select {
	case <-c.done:
		return c.got, c.err
	case <-ctx.Done():
		g.leave(c)
		return none, ctx.Err()
	}
}

// enter queues the commit, and opens a lane for it if one is free.
func (g *Committer[Name, Row, Outcome]) enter(c *commit[Row, Outcome]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.waiting = append(g.waiting, c)
	if g.running < lanes {
		g.running++
		g.idle.Add(1)
		go g.drain()
	}
	return true
}

// leave takes the commit out of the queue if it still is in it, and else out of its group.
func (g *Committer[Name, Row, Outcome]) leave(c *commit[Row, Outcome]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.left = true
	if c.group != nil {
		if c.group.live--; c.group.live == 0 {
			c.group.cancel()
		}
	}
	for i, other := range g.waiting {
		if other == c {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return
		}
	}
}

// drain is one lane: it stores groups until nothing waits that it may take.
func (g *Committer[Name, Row, Outcome]) drain() {
	defer g.idle.Done()
	var last []*commit[Row, Outcome]
	for {
		runtime.Gosched() // commits that are about to enter share the group
		group := g.next(last)
		if group == nil {
			return
		}
		g.storeGroup(group)
		last = group
	}
}

// next frees the names of the last group and takes the next, at most one
// commit of a name, in the order of arrival; nil ends the lane.
func (g *Committer[Name, Row, Outcome]) next(last []*commit[Row, Outcome]) (group []*commit[Row, Outcome]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range last {
		delete(g.names, g.name(c.row))
	}
	rest := g.waiting[:0]
	for _, c := range g.waiting {
		if len(group) == maxGroup || g.names[g.name(c.row)] {
			rest = append(rest, c)
			continue
		}
		g.names[g.name(c.row)] = true
		group = append(group, c)
	}
	clear(g.waiting[len(rest):])
	g.waiting = rest
	if group == nil {
		g.running-- // a name that others wait for is in flight in a lane, which calls next again
	}
	return group
}

// storeGroup stores the group and passes each caller its outcome. A group that cannot be stored
// as a whole is stored one by one, so that a commit fails only for its own reasons.
func (g *Committer[Name, Row, Outcome]) storeGroup(group []*commit[Row, Outcome]) {
	ctx, rows, end := g.begin(group)
	if rows == nil {
		end()
		finish(group, nil, context.Canceled)
		return
	}
	outcomes, err := g.store(ctx, rows)
	end()
	if err != nil && len(group) > 1 && !link.IsAway(err) {
		for i := range group {
			g.storeGroup(group[i : i+1])
		}
		return
	}
	finish(group, outcomes, err)
}

// begin returns the group's context and the rows to store: none when all callers have returned.
func (g *Committer[Name, Row, Outcome]) begin(group []*commit[Row, Outcome]) (ctx context.Context, rows []Row, end func()) {
	ctx, cancel := context.WithTimeout(context.Background(), g.limit)
	l := &lane{cancel: cancel}
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Row, len(group))
	for i, c := range group {
		all[i], c.group = c.row, l
		if !c.left {
			l.live++
		}
	}
	if l.live > 0 {
		rows = all
	}
	return ctx, rows, func() {
		cancel()
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, c := range group {
			c.group = nil
		}
	}
}

func finish[Row, Outcome any](group []*commit[Row, Outcome], outcomes []Outcome, err error) {
	for i, c := range group {
		if c.err = err; err == nil {
			c.got = outcomes[i]
		}
		close(c.done)
	}
}

// Close waits for the groups in flight. Later commits are refused.
func (g *Committer[Name, Row, Outcome]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.idle.Wait()
}
