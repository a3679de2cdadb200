package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
)

// gate is a transaction that the test lets through by hand.
type gate struct {
	groups chan []*row // each group as it arrives
	let    chan error  // what it ends with
}

func newGate() *gate { return &gate{groups: make(chan []*row), let: make(chan error)} }

func (g *gate) store(_ context.Context, rows []*row) ([]*row, error) {
	g.groups <- rows
	if err := <-g.let; err != nil {
		return nil, err
	}
	return rows, nil
}

// row is what the tests commit; its outcome is the row itself, so that a mix-up shows.
type row struct{ key string }

func rowOf(key string) *row { return &row{key} }

type committer = Committer[string, *row, *row]

func newCommitter(limit time.Duration, f func(context.Context, []*row) ([]*row, error)) *committer {
	return New(limit, func(r *row) string { return r.key }, f)
}

// waitFor returns once n commits wait.
func waitFor(t *testing.T, c *committer, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waiting) == n
	}, 20*time.Second, 100*time.Microsecond)
}

// occupy fills every lane with a commit of its own and returns their names.
func occupy(t *testing.T, c *committer, g *gate, all *sync.WaitGroup) {
	t.Helper()
	for i := range lanes {
		all.Go(func() {
			_, err := c.Commit(context.Background(), rowOf(fmt.Sprint("busy-", i)))
			if err != nil {
				t.Error(err)
			}
		})
		require.Len(t, <-g.groups, 1, "a free lane is taken at once and alone")
	}
}

func TestCommitsShareATransaction(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := newCommitter(time.Minute, g.store)
	var all sync.WaitGroup
	occupy(t, c, g, &all)
	const waiters = 10
	for i := range waiters {
		all.Go(func() {
			row := rowOf(fmt.Sprint(i))
			got, err := c.Commit(context.Background(), row)
			if err != nil || got != row {
				t.Errorf("outcome of another: %v, %v", got, err)
			}
		})
	}
	waitFor(t, c, waiters)
	g.let <- nil
	require.Len(t, <-g.groups, waiters)
	for range lanes {
		g.let <- nil
	}
	all.Wait()
	c.Close()
	_, err := c.Commit(context.Background(), rowOf("late"))
	require.ErrorIs(t, err, link.ErrClosed)
}

func TestCommitsOfOneNameTakeTurns(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := newCommitter(time.Minute, g.store)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if _, err := c.Commit(context.Background(), rowOf("same")); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		require.Len(t, <-g.groups, 1)
		select {
		case <-g.groups:
			t.Fatal("two commits of a name are under way")
		case g.let <- nil:
		}
	}
	all.Wait()
	c.Close()
}

func TestAGroupThatFailsIsTriedOneByOne(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad row")
	c := newCommitter(time.Minute, func(_ context.Context, rows []*row) ([]*row, error) {
		for _, r := range rows {
			if r.key == "bad" {
				return nil, bad
			}
		}
		return make([]*row, len(rows)), nil
	})
	group := []*commit[*row, *row]{}
	for _, key := range []string{"good", "bad", "fine"} {
		group = append(group, &commit[*row, *row]{row: rowOf(key), done: make(chan struct{})})
	}
	c.storeGroup(group)
	require.NoError(t, group[0].err)
	require.ErrorIs(t, group[1].err, bad)
	require.NoError(t, group[2].err)
}

func TestAnOutageFailsTheGroupOnce(t *testing.T) {
	t.Parallel()
	calls := 0
	c := newCommitter(time.Minute, func(_ context.Context, rows []*row) ([]*row, error) {
		calls++
		return nil, context.DeadlineExceeded
	})
	group := []*commit[*row, *row]{{row: rowOf("a"), done: make(chan struct{})}, {row: rowOf("b"), done: make(chan struct{})}}
	c.storeGroup(group)
	require.Error(t, group[0].err)
	require.Error(t, group[1].err)
	require.Equal(t, 1, calls, "whether it was stored is not known: it must not be repeated")
}

func TestACanceledCommitLeavesTheQueue(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := newCommitter(time.Minute, g.store)
	var all sync.WaitGroup
	occupy(t, c, g, &all)
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() {
		_, err := c.Commit(ctx, rowOf("canceled"))
		left <- err
	}()
	waitFor(t, c, 1)
	cancel()
	require.ErrorIs(t, <-left, context.Canceled)
	waitFor(t, c, 0)
	for range lanes {
		g.let <- nil
	}
	all.Wait()
	c.Close() // would block if the canceled commit were still in a group
	_, err := c.Commit(ctx, rowOf("canceled"))
	require.ErrorIs(t, err, context.Canceled)
}

// Groups are bounded, and commits that do not fit are sent with the next.
func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := newCommitter(time.Minute, g.store)
	var all sync.WaitGroup
	occupy(t, c, g, &all)
	for i := range maxGroup + 5 {
		all.Go(func() {
			if _, err := c.Commit(context.Background(), rowOf(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, c, maxGroup+5)
	g.let <- nil
	require.Len(t, <-g.groups, maxGroup)
	g.let <- nil
	require.Len(t, <-g.groups, 5)
	for range lanes {
		g.let <- nil
	}
	all.Wait()
	c.Close()
}

// A commit whose caller has left is not started again when its group is stored one by one.
func TestACommitWithoutACallerIsNotRestarted(t *testing.T) {
	t.Parallel()
	var stored []string
	first := true
	c := newCommitter(time.Minute, nil)
	group := []*commit[*row, *row]{}
	for _, key := range []string{"stays", "left", "also stays"} {
		group = append(group, &commit[*row, *row]{row: rowOf(key), done: make(chan struct{})})
	}
	c.store = func(_ context.Context, rows []*row) ([]*row, error) {
		if first {
			first = false
			c.leave(group[1])
			return nil, errors.New("the statement took too long")
		}
		for _, r := range rows {
			stored = append(stored, r.key)
		}
		return make([]*row, len(rows)), nil
	}
	c.storeGroup(group)
	require.NoError(t, group[0].err)
	require.ErrorIs(t, group[1].err, context.Canceled)
	require.NoError(t, group[2].err)
	require.Equal(t, []string{"stays", "also stays"}, stored)
}

// The transaction of a group ends with the last of its callers, and not before.
func TestAGroupEndsWithItsLastCaller(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	c := newCommitter(time.Minute, func(ctx context.Context, _ []*row) ([]*row, error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	group := []*commit[*row, *row]{{row: rowOf("a"), done: make(chan struct{})}, {row: rowOf("b"), done: make(chan struct{})}}
	go c.storeGroup(group)
	<-begun
	c.leave(group[0])
	require.Empty(t, ended)
	c.leave(group[1])
	require.ErrorIs(t, <-ended, context.Canceled)
	<-group[1].done
}
