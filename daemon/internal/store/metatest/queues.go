package metatest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// newTask is a task of a chunk of its own.
func newTask(kind store.TaskKind, node store.NodeID) store.Task {
	return store.Task{Kind: kind, Chunk: store.ChunkID{Part: store.NewPartID(), Index: 3}, Node: node}
}

func enqueue(tb testing.TB, m store.Metadata, tasks ...store.Task) {
	tb.Helper()
	require.NoError(tb, m.Enqueue(tb.Context(), tasks))
}

func claim(tb testing.TB, m store.Metadata, q store.ClaimQuery) []store.Task {
	tb.Helper()
	tasks, err := m.Claim(tb.Context(), q)
	require.NoError(tb, err)
	require.LessOrEqual(tb, len(tasks), q.Limit)
	return tasks
}

func depth(tb testing.TB, m store.Metadata, kind store.TaskKind) store.QueueDepth {
	tb.Helper()
	d, err := m.Depth(tb.Context(), kind)
	require.NoError(tb, err)
	return d
}

// awaitClaim claims until something comes: a hold or a delay that has run out.
func awaitClaim(tb testing.TB, m store.Metadata, q store.ClaimQuery) []store.Task {
	tb.Helper()
	var got []store.Task
	require.Eventually(tb, func() bool { got = claim(tb, m, q); return len(got) > 0 }, patience, time.Millisecond)
	return got
}

// requireTasks compares identities, in order.
func requireTasks(tb testing.TB, want, got []store.Task) {
	tb.Helper()
	type identity struct {
		Kind  store.TaskKind
		Chunk store.ChunkID
		Node  store.NodeID
	}
	bare := func(tasks []store.Task) (all []identity) {
		for _, t := range tasks {
			all = append(all, identity{t.Kind, t.Chunk, t.Node})
		}
		return all
	}
	same(tb, bare(want), bare(got))
}

var queueTests = []test{
	{"a queued task is claimed as it was given", func(t *testing.T, m store.Metadata) {
		task := newTask(store.Reclaim, store.NewNodeID())
		task.Reason, task.Attempts = "because", 77
		enqueue(t, m, task)
		got := claim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 10, Hold: time.Hour})
		require.Len(t, got, 1)
		requireStoreTime(t, got[0].QueuedAt)
		task.Attempts, task.Term, task.QueuedAt = 1, 1, got[0].QueuedAt
		same(t, task, got[0])
	}},
	{"kinds are queues of their own", func(t *testing.T, m store.Metadata) {
		lost := newTask(store.Repair, store.NodeID{})
		extra := lost
		extra.Kind = store.Reclaim
		enqueue(t, m, lost, extra)
		claimed := claimAll(t, m, store.Repair)
		requireTasks(t, []store.Task{lost}, claimed)
		requireTasks(t, []store.Task{extra}, claimAll(t, m, store.Reclaim))
		require.NoError(t, m.Finish(t.Context(), claimed))
		require.Zero(t, depth(t, m, store.Repair).Tasks)
		require.EqualValues(t, 1, depth(t, m, store.Reclaim).Tasks)
	}},
	{"kind, chunk and node make the identity", func(t *testing.T, m store.Metadata) {
		task := newTask(store.Reclaim, store.NewNodeID())
		otherNode, otherChunk := task, task
		otherNode.Node = store.NewNodeID()
		otherChunk.Chunk.Index++
		enqueue(t, m, task, otherNode, otherChunk, task)
		require.EqualValues(t, 3, depth(t, m, store.Reclaim).Tasks)
	}},
	{"a task that is there already stays as it is", func(t *testing.T, m store.Metadata) {
		task := newTask(store.Reclaim, store.NewNodeID())
		task.Reason = "first"
		enqueue(t, m, task)
		first := claimAll(t, m, store.Reclaim)
		task.Reason = "second"
		enqueue(t, m, task, newTask(store.Reclaim, task.Node))
		require.Len(t, claimAll(t, m, store.Reclaim), 1, "the held one stays hidden")
		require.NoError(t, m.Postpone(t.Context(), first, 0))
		again := awaitClaim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 10, Hold: time.Hour})
		require.Len(t, again, 1)
		require.Equal(t, "first", again[0].Reason)
		require.Equal(t, first[0].QueuedAt, again[0].QueuedAt)
	}},
	{"the oldest come first", func(t *testing.T, m store.Metadata) {
		node := store.NewNodeID()
		var want []store.Task
		for range 9 {
			task := newTask(store.Reclaim, node)
			enqueue(t, m, task)
			want = append(want, task)
		}
		requireTasks(t, want[:4], claim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 4, Hold: time.Hour}))
		byNode := store.ClaimQuery{Term: 1, Kind: store.Reclaim, Nodes: []store.NodeID{store.NewNodeID(), node}, Limit: 4, Hold: time.Hour}
		requireTasks(t, want[4:8], claim(t, m, byNode))
		requireTasks(t, want[8:], claim(t, m, byNode))
	}},
	{"only tasks of the asked nodes are claimed", func(t *testing.T, m store.Metadata) {
		n := newNodes(3)
		var tasks []store.Task
		for _, node := range append(n, store.NodeID{}) {
			tasks = append(tasks, newTask(store.Repair, node))
			enqueue(t, m, tasks[len(tasks)-1])
		}
		q := store.ClaimQuery{Term: 1, Kind: store.Repair, Nodes: []store.NodeID{}, Limit: 10, Hold: time.Hour}
		require.Empty(t, claim(t, m, q), "no nodes are not all nodes")
		q.Nodes = []store.NodeID{store.NewNodeID()}
		require.Empty(t, claim(t, m, q))
		q.Nodes = []store.NodeID{n[2], n[0], n[0]}
		requireTasks(t, []store.Task{tasks[0], tasks[2]}, claim(t, m, q))
		q.Nodes = []store.NodeID{{}}
		requireTasks(t, tasks[3:], claim(t, m, q))
		q.Nodes = nil
		requireTasks(t, tasks[1:2], claim(t, m, q))
	}},
	{"a held task is hidden, and comes back when the hold runs out", func(t *testing.T, m store.Metadata) {
		held, lapsing := newTask(store.Reclaim, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, held, lapsing)
		require.Len(t, claim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Nodes: []store.NodeID{held.Node}, Limit: 10, Hold: time.Hour}), 1)
		require.Len(t, claim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 10, Hold: time.Millisecond}), 1)
		again := awaitClaim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 10, Hold: time.Hour})
		requireTasks(t, []store.Task{lapsing}, again)
		require.Equal(t, 2, again[0].Attempts)
		require.EqualValues(t, 2, depth(t, m, store.Reclaim).Tasks)
	}},
	{"a finished task is removed, and may be queued again", func(t *testing.T, m store.Metadata) {
		one, two := newTask(store.Reclaim, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, one, two)
		first := claim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Nodes: []store.NodeID{one.Node}, Limit: 1, Hold: time.Hour})
		require.NoError(t, m.Finish(t.Context(), first))
		second := claimAll(t, m, store.Reclaim)
		requireTasks(t, []store.Task{two}, second)
		require.NoError(t, m.Finish(t.Context(), append(slices.Concat(first, second), newTask(store.Reclaim, one.Node))))
		require.Zero(t, depth(t, m, store.Reclaim))
		enqueue(t, m, one)
		again := claimAll(t, m, store.Reclaim)
		requireTasks(t, []store.Task{one}, again)
		require.Equal(t, 1, again[0].Attempts)
	}},
	{"a postponed task keeps the reason and comes back after the delay", func(t *testing.T, m store.Metadata) {
		now, later := newTask(store.Repair, store.NewNodeID()), newTask(store.Repair, store.NewNodeID())
		enqueue(t, m, now, later)
		claimAll(t, m, store.Repair)
		now.Term, later.Term = 1, 1
		now.Reason, later.Reason = "node is away", "disk is full"
		require.NoError(t, m.Postpone(t.Context(), []store.Task{later}, time.Hour))
		require.NoError(t, m.Postpone(t.Context(), []store.Task{now, newTask(store.Repair, now.Node)}, time.Millisecond))
		got := awaitClaim(t, m, store.ClaimQuery{Term: 1, Kind: store.Repair, Limit: 10, Hold: time.Hour})
		requireTasks(t, []store.Task{now}, got)
		require.Equal(t, "node is away", got[0].Reason)
		require.Equal(t, 2, got[0].Attempts)
		require.Empty(t, claimAll(t, m, store.Repair))
		require.EqualValues(t, 2, depth(t, m, store.Repair).Tasks, "hidden ones are counted, the unknown one was not added")
	}},
	{"depth counts all and knows the oldest", func(t *testing.T, m store.Metadata) {
		require.Equal(t, store.QueueDepth{}, depth(t, m, store.Reclaim))
		first := newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, first)
		claimed := claimAll(t, m, store.Reclaim)
		queued := claimed[0].QueuedAt
		enqueue(t, m, newTask(store.Reclaim, first.Node), newTask(store.Repair, first.Node))
		require.Equal(t, store.QueueDepth{Tasks: 2, Oldest: queued}, depth(t, m, store.Reclaim))
		require.NoError(t, m.Finish(t.Context(), claimed))
		rest := depth(t, m, store.Reclaim)
		require.EqualValues(t, 1, rest.Tasks)
		require.False(t, rest.Oldest.Before(queued))
		requireStoreTime(t, rest.Oldest)
	}},
	{"no tasks are nothing to do", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.Enqueue(t.Context(), nil))
		require.NoError(t, m.Finish(t.Context(), nil))
		require.NoError(t, m.Postpone(t.Context(), nil, time.Hour))
		require.Empty(t, claimAll(t, m, store.Reclaim))
	}},
	{"a claim without limit, hold or term is Invalid", func(t *testing.T, m store.Metadata) {
		for _, q := range []store.ClaimQuery{{Term: 1, Hold: 1}, {Term: 1, Limit: store.MaxListLimit + 1, Hold: 1}, {Term: 1, Limit: 1}, {Limit: 1, Hold: 1}} {
			q.Kind = store.Reclaim
			_, err := m.Claim(t.Context(), q)
			requireKind(t, store.Invalid, err)
		}
	}},
	{"many tasks at once", func(t *testing.T, m store.Metadata) {
		var tasks []store.Task
		for range 2500 {
			tasks = append(tasks, newTask(store.Reclaim, store.NewNodeID()))
		}
		enqueue(t, m, tasks...)
		require.EqualValues(t, 2500, depth(t, m, store.Reclaim).Tasks)
		q := store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: store.MaxListLimit, Hold: time.Hour}
		first, second := claim(t, m, q), claim(t, m, q)
		require.Len(t, first, store.MaxListLimit)
		require.Len(t, second, store.MaxListLimit)
		require.NoError(t, m.Postpone(t.Context(), first, time.Hour))
		require.NoError(t, m.Finish(t.Context(), slices.Concat(first[:400], second)))
		require.EqualValues(t, 1500, depth(t, m, store.Reclaim).Tasks, "what is postponed is not claimed any more")
		require.Len(t, claimAll(t, m, store.Reclaim), 500)
	}},
	{"a newer term takes over at once what an older one claimed", func(t *testing.T, m store.Metadata) {
		one, two := newTask(store.Repair, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, one, two)
		q := func(kind store.TaskKind, term uint64) store.ClaimQuery {
			return store.ClaimQuery{Kind: kind, Term: term, Limit: 10, Hold: time.Hour}
		}
		old := append(claim(t, m, q(store.Repair, 7)), claim(t, m, q(store.Reclaim, 7))...)
		require.Len(t, old, 2)
		require.NoError(t, m.TakeOver(t.Context(), 7), "its own claims stay")
		require.Empty(t, claim(t, m, q(store.Repair, 7)))
		require.NoError(t, m.TakeOver(t.Context(), 8))
		again := claim(t, m, q(store.Repair, 8))
		requireTasks(t, []store.Task{one}, again)
		require.EqualValues(t, 8, again[0].Term)
		require.Equal(t, 2, again[0].Attempts)

		require.NoError(t, m.Finish(t.Context(), old))
		require.NoError(t, m.Postpone(t.Context(), old, 10*time.Hour))
		require.EqualValues(t, 1, depth(t, m, store.Repair).Tasks, "the old term ends nothing that it lost")
		requireTasks(t, []store.Task{two}, claim(t, m, q(store.Reclaim, 8)))
		require.NoError(t, m.Finish(t.Context(), again))
		require.Zero(t, depth(t, m, store.Repair))
	}},
	{"a claimer that works on nothing ends claims that it does not know of", func(t *testing.T, m store.Metadata) {
		mine, other, kind := newTask(store.Repair, store.NewNodeID()), newTask(store.Repair, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, mine, other, kind)
		q := store.ClaimQuery{Kind: store.Repair, Term: 2, Nodes: []store.NodeID{mine.Node}, Limit: 1, Hold: time.Hour}
		require.Len(t, claim(t, m, q), 1, "its answer is lost")
		q.Term, q.Nodes = 3, []store.NodeID{other.Node}
		require.Len(t, claim(t, m, q), 1)
		require.Len(t, claimAll(t, m, store.Reclaim), 1)
		require.NoError(t, m.Unclaim(t.Context(), store.Repair, 2))
		requireTasks(t, []store.Task{mine}, claimAll(t, m, store.Repair))
		require.Empty(t, claimAll(t, m, store.Reclaim))
	}},
	{"what was postponed can be hastened, what is claimed stays claimed", func(t *testing.T, m store.Metadata) {
		later, held, other := newTask(store.Repair, store.NewNodeID()), newTask(store.Repair, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, later, held, other)
		require.NoError(t, m.Postpone(t.Context(), claim(t, m, store.ClaimQuery{Term: 1, Kind: store.Repair, Nodes: []store.NodeID{later.Node}, Limit: 1, Hold: time.Hour}), time.Hour))
		require.NoError(t, m.Postpone(t.Context(), claimAll(t, m, store.Reclaim), time.Hour))
		require.Len(t, claimAll(t, m, store.Repair), 1)
		require.NoError(t, m.Hasten(t.Context(), store.Repair))
		requireTasks(t, []store.Task{later}, claimAll(t, m, store.Repair))
		require.Empty(t, claimAll(t, m, store.Reclaim))
	}},
	{"concurrent claims return each task once", func(t *testing.T, m store.Metadata) {
		claimAtOnce(t, m)
	}},
}

// claimAtOnce lets claimers share a queue, half of them asking by node.
func claimAtOnce(t *testing.T, stores ...store.Metadata) {
	const claimers, count = 8, 200
	nodes := newNodes(3)
	var tasks []store.Task
	for i := range count {
		tasks = append(tasks, newTask(store.Reclaim, nodes[i%len(nodes)]))
	}
	enqueue(t, stores[0], tasks...)
	got := make([][]store.Task, claimers)
	errs := make([]error, claimers)
	var all sync.WaitGroup
	for i := range claimers {
		q := store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 7, Hold: time.Hour}
		if i%2 == 0 {
			q.Nodes = nodes
		}
		all.Go(func() {
			for {
				claimed, err := stores[i%len(stores)].Claim(t.Context(), q)
				if errs[i] = err; err != nil || len(claimed) == 0 {
					return
				}
				got[i] = append(got[i], claimed...)
			}
		})
	}
	all.Wait()
	seen := map[work]bool{}
	for i := range claimers {
		require.NoError(t, errs[i])
		for _, task := range got[i] {
			w := work{task.Chunk, task.Node}
			require.False(t, seen[w], "%v was handed out twice", w)
			require.Equal(t, 1, task.Attempts)
			seen[w] = true
		}
	}
	require.Len(t, seen, count)
}
