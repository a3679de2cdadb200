package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	// lanes is how many groups are in flight at once. While one waits for the
	// server's disk the next is computed; more lanes only make groups smaller.
	lanes = 2
	// maxGroup bounds a group, and with it how long its transaction holds rows.
	maxGroup = 64
)

// committer groups commits: a commit that finds a free lane is sent at
// once and alone, and those that arrive while all lanes are busy share
// the next group. No commit waits for others to arrive.
//
// Two commits of one name are never in flight at the same time, so within a
// gateway they queue here instead of colliding in the database.
type committer struct {
	limit time.Duration // of one transaction
	store func(context.Context, []*fileRow) ([]outcome, error)

	mu      sync.Mutex // guards the following fields
	waiting []*commit
	names   map[objectName]bool // those in flight
	running int                 // lanes in use
	closed  bool
	idle    sync.WaitGroup // one count per lane in use
}

type objectName struct {
	bucket store.BucketName
	key    store.Key
}

// commit is the commit of one caller.
type commit struct {
	row   *fileRow
	left  bool  // its caller has returned; guarded by committer.mu
	group *lane // that stores it, while it is being stored; guarded by committer.mu

	done chan struct{} // closed after the following fields were set
	got  outcome
	err  error
}

// lane is one transaction in progress.
type lane struct {
	live   int // callers that still wait; guarded by committer.mu
	cancel context.CancelFunc
}

func (c *commit) name() objectName { return objectName{c.row.file.Bucket, c.row.file.Key} }

// newCommitter returns a committer that stores groups with f, each within the limit: no
// single caller can cancel a group, and a group must not hold its lane indefinitely.
func newCommitter(limit time.Duration, f func(context.Context, []*fileRow) ([]outcome, error)) *committer {
	return &committer{limit: limit, store: f, names: map[objectName]bool{}}
}

// commit stores the row and returns what became of it. When ctx ends first, a row that was not
// being stored is dropped, and one that was is never retried: its outcome is open. The
// transaction of a group is canceled when the last of its callers has returned.
func (g *committer) commit(ctx context.Context, row *fileRow) (outcome, error) {
	if err := ctx.Err(); err != nil {
		return outcome{}, err
	}
	c := &commit{row: row, done: make(chan struct{})}
	if !g.enter(c) {
		return outcome{}, errClosed
	}
	select {
	case <-c.done:
		return c.got, c.err
	case <-ctx.Done():
		g.leave(c)
		return outcome{}, ctx.Err()
	}
}

// enter queues the commit, and opens a lane for it if one is free.
func (g *committer) enter(c *commit) bool {
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
func (g *committer) leave(c *commit) {
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
func (g *committer) drain() {
	defer g.idle.Done()
	var last []*commit
	for {
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
func (g *committer) next(last []*commit) (group []*commit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range last {
		delete(g.names, c.name())
	}
	rest := g.waiting[:0]
	for _, c := range g.waiting {
		if len(group) == maxGroup || g.names[c.name()] {
			rest = append(rest, c)
			continue
		}
		g.names[c.name()] = true
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
func (g *committer) storeGroup(group []*commit) {
	ctx, rows, end := g.begin(group)
	if rows == nil {
		end()
		finish(group, nil, context.Canceled)
		return
	}
	outcomes, err := g.store(ctx, rows)
	end()
	if err != nil && len(group) > 1 && !isAway(err) {
		for i := range group {
			g.storeGroup(group[i : i+1])
		}
		return
	}
	finish(group, outcomes, err)
}

// begin returns the group's context and the rows to store: none when all callers have returned.
func (g *committer) begin(group []*commit) (ctx context.Context, rows []*fileRow, end func()) {
	ctx, cancel := context.WithTimeout(context.Background(), g.limit)
	l := &lane{cancel: cancel}
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*fileRow, len(group))
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

func finish(group []*commit, outcomes []outcome, err error) {
	for i, c := range group {
		if c.err = err; err == nil {
			c.got = outcomes[i]
		}
		close(c.done)
	}
}

// close waits for the groups in flight. Later commits are refused.
func (g *committer) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.idle.Wait()
}
