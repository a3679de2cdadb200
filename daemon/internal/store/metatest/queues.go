package metatest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// newTask is a task of a part of its own; a repair has no node.
func newTask(kind store.TaskKind, node store.NodeID) store.Task {
	if kind == store.Repair {
		return newRepair(store.NewPartID(), 2, 3)
	}
	return store.Task{Kind: kind, Chunk: store.ChunkID{Part: store.NewPartID(), Index: 3}, Node: node}
}

func newRepair(part store.PartID, priority int, chunks ...int) store.Task {
	return store.Task{Kind: store.Repair, Chunk: store.ChunkID{Part: part}, Chunks: store.NewChunkSet(chunks...), Priority: priority}
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
		extra := store.Task{Kind: store.Reclaim, Chunk: lost.Chunk}
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
			tasks = append(tasks, newTask(store.Reclaim, node))
			enqueue(t, m, tasks[len(tasks)-1])
		}
		q := store.ClaimQuery{Term: 1, Kind: store.Reclaim, Nodes: []store.NodeID{}, Limit: 10, Hold: time.Hour}
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
		now, later := newTask(store.Reclaim, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, now, later)
		claimAll(t, m, store.Reclaim)
		now.Term, later.Term = 1, 1
		now.Reason, later.Reason = "node is away", "disk is full"
		require.NoError(t, m.Postpone(t.Context(), []store.Task{later}, time.Hour))
		require.NoError(t, m.Postpone(t.Context(), []store.Task{now, newTask(store.Reclaim, now.Node)}, time.Millisecond))
		got := awaitClaim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 10, Hold: time.Hour})
		requireTasks(t, []store.Task{now}, got)
		require.Equal(t, "node is away", got[0].Reason)
		require.Equal(t, 2, got[0].Attempts)
		require.Empty(t, claimAll(t, m, store.Reclaim))
		require.EqualValues(t, 2, depth(t, m, store.Reclaim).Tasks, "hidden ones are counted, the unknown one was not added")
	}},
	{"depth counts all, and those of the highest priority", func(t *testing.T, m store.Metadata) {
		require.Zero(t, depth(t, m, store.Reclaim))
		enqueue(t, m, newTask(store.Reclaim, store.NewNodeID()))
		claimed := claimAll(t, m, store.Reclaim)
		endangered := newRepair(store.NewPartID(), 0, 1)
		enqueue(t, m, newTask(store.Reclaim, store.NewNodeID()), newTask(store.Repair, store.NodeID{}), endangered)
		require.Equal(t, store.QueueDepth{Tasks: 2, Endangered: 2}, depth(t, m, store.Reclaim), "reclaims have one priority")
		require.Equal(t, store.QueueDepth{Tasks: 2, Endangered: 1}, depth(t, m, store.Repair))
		require.NoError(t, m.Finish(t.Context(), claimed))
		require.EqualValues(t, 1, depth(t, m, store.Reclaim).Tasks)
		finishAll(t, m, store.Repair)
		require.Zero(t, depth(t, m, store.Repair))
	}},
	{"a part has one repair: chunks, urgency and reasons are merged", func(t *testing.T, m store.Metadata) {
		part := store.NewPartID()
		first, second := newRepair(part, 3, 1, 63), newRepair(part, 1, 0)
		first.Reason, second.Reason = "read", "scrub"
		second.Chunk.Index, second.Node = 7, store.NewNodeID() // not used
		enqueue(t, m, first, second, newRepair(part, 2, 63), newRepair(store.NewPartID(), 2, 0))
		require.EqualValues(t, 2, depth(t, m, store.Repair).Tasks)
		got := claimAll(t, m, store.Repair)
		requireTasks(t, []store.Task{newRepair(part, 1), got[1]}, got)
		require.Equal(t, store.NewChunkSet(0, 1, 63), got[0].Chunks)
		require.Equal(t, 1, got[0].Priority)
		require.Equal(t, "read; scrub", got[0].Reason)
		long := newRepair(part, 0, 5)
		long.Reason = strings.Repeat("x", store.MaxReasons)
		enqueue(t, m, long)
		require.EqualValues(t, 1, depth(t, m, store.Repair).Endangered)
		require.NoError(t, m.Finish(t.Context(), got[:1]))
		again := claimAll(t, m, store.Repair)
		require.Equal(t, "read; scrub", again[0].Reason, "what is too long is left out")
		require.Equal(t, 0, again[0].Priority)
	}},
	{"priorities are within bounds", func(t *testing.T, m store.Metadata) {
		enqueue(t, m, newRepair(store.NewPartID(), store.MaxPriority+5, 0), newRepair(store.NewPartID(), -1, 0))
		got := claimAll(t, m, store.Repair)
		require.Len(t, got, 2)
		require.Equal(t, []int{0, store.MaxPriority}, []int{got[0].Priority, got[1].Priority})
	}},
	{"the most endangered come first, and a quarter of each claim is for those that wait longest", func(t *testing.T, m store.Metadata) {
		var tasks []store.Task
		for i := range 40 {
			tasks = append(tasks, newRepair(store.NewPartID(), 7-i/5, 0))
			enqueue(t, m, tasks[i])
		}
		q := store.ClaimQuery{Term: 1, Kind: store.Repair, Limit: 4, Hold: time.Hour}
		requireTasks(t, []store.Task{tasks[35], tasks[36], tasks[37], tasks[0]}, claim(t, m, q))
		requireTasks(t, []store.Task{tasks[38], tasks[39], tasks[30], tasks[1]}, claim(t, m, q))
		q.Limit = 1
		requireTasks(t, []store.Task{tasks[31]}, claim(t, m, q))
		for left := 31; left > 0; {
			q.Limit = 4
			got := claim(t, m, q)
			require.NotEmpty(t, got)
			left -= len(got)
		}
	}},
	{"a repair that becomes more urgent or larger is due at once, unless it is claimed", func(t *testing.T, m store.Metadata) {
		task := newRepair(store.NewPartID(), 2, 1)
		enqueue(t, m, task)
		q := store.ClaimQuery{Term: 1, Kind: store.Repair, Limit: 10, Hold: time.Hour}
		for _, next := range []store.Task{newRepair(task.Chunk.Part, 1, 1), newRepair(task.Chunk.Part, 5, 2)} {
			claimed := claim(t, m, q)
			require.Len(t, claimed, 1)
			enqueue(t, m, newRepair(task.Chunk.Part, 0, 3))
			require.Empty(t, claim(t, m, q), "it is claimed")
			require.NoError(t, m.Postpone(t.Context(), claimed, time.Hour))
			enqueue(t, m, newRepair(task.Chunk.Part, 6, 1))
			require.Empty(t, claim(t, m, q), "nothing new")
			next.Chunks |= 16
			next.Chunks <<= claimed[0].Attempts
			enqueue(t, m, next)
		}
		require.Len(t, claim(t, m, q), 1)
	}},
	{"chunks that are added to a claimed repair are left for the next claim", func(t *testing.T, m store.Metadata) {
		part := store.NewPartID()
		enqueue(t, m, newRepair(part, 2, 1, 2))
		q := store.ClaimQuery{Term: 1, Kind: store.Repair, Limit: 10, Hold: time.Hour}
		first := claim(t, m, q)
		enqueue(t, m, newRepair(part, 2, 2, 5))
		require.NoError(t, m.Finish(t.Context(), first))
		second := claim(t, m, q)
		require.Len(t, second, 1)
		require.Equal(t, store.NewChunkSet(2, 5), second[0].Chunks)
		require.Equal(t, 2, second[0].Attempts)
		enqueue(t, m, newRepair(part, 2, 0))
		require.NoError(t, m.Postpone(t.Context(), second, 0))
		third := awaitClaim(t, m, q)
		require.Equal(t, store.NewChunkSet(0, 2, 5), third[0].Chunks)
		enqueue(t, m, newRepair(part, 2, 7))
		require.NoError(t, m.TakeOver(t.Context(), 2))
		q.Term = 2
		fourth := claim(t, m, q)
		require.Equal(t, store.NewChunkSet(0, 2, 5, 7), fourth[0].Chunks)
		require.NoError(t, m.Finish(t.Context(), third))
		require.EqualValues(t, 1, depth(t, m, store.Repair).Tasks, "the old claim ends nothing")
		require.NoError(t, m.Finish(t.Context(), fourth))
		require.Zero(t, depth(t, m, store.Repair))
	}},
	{"a lost chunk has the priority of its part", func(t *testing.T, m store.Metadata) {
		n := newNodes(5)
		p := newPart(1, n[0], n[1], n[2], n[3], store.NodeID{})
		p.K, p.M = 2, 3
		put(t, m, newFile("a", p))
		priority := func() int {
			tasks := claimAll(t, m, store.Repair)
			require.Len(t, tasks, 1)
			require.NoError(t, m.Unclaim(t.Context(), store.Repair, 1))
			return tasks[0].Priority
		}
		require.Equal(t, 2, priority())
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(3), p.Chunks[3], store.Placement{}))
		require.Equal(t, 1, priority())
		finishAll(t, m, store.Repair)
		require.NoError(t, m.WidenPart(t.Context(), p.ID, 4))
		require.Equal(t, 1, priority())
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(2), p.Chunks[2], store.Placement{Node: n[1]}))
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(0), p.Chunks[0], store.Placement{}))
		require.Equal(t, 0, priority(), "both that are left are on one node")

		x := session(t, m, "b")
		q := newPart(1, n[0], n[1], n[2], store.NodeID{})
		q.K, q.M = 1, 3
		finishAll(t, m, store.Repair)
		savePart(t, m, x.ID, q)
		require.Equal(t, 2, priority())
	}},
	{"the depth is the number of tasks, whatever happens to them", countRandomly},
	{"no claim gets a reclaim during its delay, and a move ends it", func(t *testing.T, m store.Metadata) {
		n := newNodes(4)
		p := newPart(1, n[0], n[1], n[2])
		put(t, m, newFile("a", p))
		later := store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(1), Node: n[3], Delay: time.Hour}
		other := newTask(store.Reclaim, n[3])
		other.Delay = time.Hour
		enqueue(t, m, later, other)
		require.EqualValues(t, 2, depth(t, m, store.Reclaim).Tasks)
		require.Empty(t, claimAll(t, m, store.Reclaim))
		later.Delay = 0
		enqueue(t, m, later)
		require.Empty(t, claimAll(t, m, store.Reclaim), "it is not changed")
		require.NoError(t, m.MoveChunk(t.Context(), p.ChunkID(1), p.Chunks[1], store.Placement{Node: n[3], Sum: p.Chunks[1].Sum}))
		old := store.Task{Kind: store.Reclaim, Chunk: p.ChunkID(1), Node: n[1]}
		requireTasks(t, []store.Task{old}, claimAll(t, m, store.Reclaim))
		require.NoError(t, m.Hasten(t.Context(), store.Reclaim))
		requireTasks(t, []store.Task{other}, claimAll(t, m, store.Reclaim))
		soon := newTask(store.Reclaim, n[0])
		soon.Delay = 20 * time.Millisecond
		enqueue(t, m, soon)
		requireTasks(t, []store.Task{soon}, awaitClaim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 9, Hold: time.Hour}))
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
		_, err := m.Claim(t.Context(), store.ClaimQuery{Term: 1, Kind: store.Repair, Nodes: newNodes(1), Limit: 1, Hold: 1})
		requireKind(t, store.Invalid, err)
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
		mine, other, kind := newTask(store.Reclaim, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID()), newTask(store.Repair, store.NodeID{})
		enqueue(t, m, mine, other, kind)
		q := store.ClaimQuery{Kind: store.Reclaim, Term: 2, Nodes: []store.NodeID{mine.Node}, Limit: 1, Hold: time.Hour}
		require.Len(t, claim(t, m, q), 1, "its answer is lost")
		q.Term, q.Nodes = 3, []store.NodeID{other.Node}
		require.Len(t, claim(t, m, q), 1)
		require.Len(t, claimAll(t, m, store.Repair), 1)
		require.NoError(t, m.Unclaim(t.Context(), store.Reclaim, 2))
		requireTasks(t, []store.Task{mine}, claimAll(t, m, store.Reclaim))
		require.Empty(t, claimAll(t, m, store.Repair))
	}},
	{"what was postponed can be hastened, what is claimed stays claimed", func(t *testing.T, m store.Metadata) {
		later, held, other := newTask(store.Reclaim, store.NewNodeID()), newTask(store.Reclaim, store.NewNodeID()), newTask(store.Repair, store.NodeID{})
		enqueue(t, m, later, held, other)
		require.NoError(t, m.Postpone(t.Context(), claim(t, m, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Nodes: []store.NodeID{later.Node}, Limit: 1, Hold: time.Hour}), time.Hour))
		require.NoError(t, m.Postpone(t.Context(), claimAll(t, m, store.Repair), time.Hour))
		require.Len(t, claimAll(t, m, store.Reclaim), 1)
		require.NoError(t, m.Hasten(t.Context(), store.Reclaim))
		requireTasks(t, []store.Task{later}, claimAll(t, m, store.Reclaim))
		require.Empty(t, claimAll(t, m, store.Repair))
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

// finishAll claims and finishes all due tasks of the kind.
func finishAll(tb testing.TB, m store.Metadata, kind store.TaskKind) {
	tb.Helper()
	require.NoError(tb, m.Finish(tb.Context(), claimAll(tb, m, kind)))
}

// countRandomly changes the queues at random, and compares the depths with a count of the tasks.
func countRandomly(t *testing.T, m store.Metadata) {
	n := newNodes(6)
	var parts []store.Part
	files := map[store.PartID]store.FileID{}
	claimed := map[store.TaskKind][]store.Task{}
	steps := []func(){
		func() {
			p := newPart(1, n[0], n[rand.IntN(6)], n[rand.IntN(6)], store.NodeID{}, store.NodeID{})
			p.K, p.M = 2, 3
			parts = append(parts, p)
			files[p.ID] = put(t, m, newFile(store.Key(p.ID.String()), p)).ID
		},
		func() {
			a, b := parts[rand.IntN(len(parts))], parts[rand.IntN(len(parts))]
			enqueue(t, m, newRepair(a.ID, rand.IntN(4), rand.IntN(5)), newRepair(b.ID, rand.IntN(4), rand.IntN(5)), newTask(store.Reclaim, n[0]))
		},
		func() {
			kind := []store.TaskKind{store.Reclaim, store.Repair}[rand.IntN(2)]
			claimed[kind] = append(claimed[kind], claim(t, m, store.ClaimQuery{Term: 1, Kind: kind, Limit: 1 + rand.IntN(4), Hold: time.Hour})...)
		},
		func() {
			require.NoError(t, m.Finish(t.Context(), slices.Concat(claimed[store.Reclaim], claimed[store.Repair])))
			clear(claimed)
		},
		func() {
			require.NoError(t, m.Postpone(t.Context(), slices.Concat(claimed[store.Reclaim], claimed[store.Repair]), 0))
			clear(claimed)
		},
		func() {
			p, i := parts[rand.IntN(len(parts))], rand.IntN(5)
			now, _, err := m.Part(t.Context(), p.ID)
			require.NoError(t, err)
			to := store.Placement{Node: n[rand.IntN(6)], Sum: 1}
			if rand.IntN(2) == 0 {
				to = store.Placement{}
			}
			if err := m.MoveChunk(t.Context(), p.ChunkID(i), now.Chunks[i], to); err != nil {
				requireKind(t, store.Conflict, err)
			}
		},
		func() { require.NoError(t, m.WidenPart(t.Context(), parts[rand.IntN(len(parts))].ID, 3+rand.IntN(5))) },
		func() {
			if i := rand.IntN(len(parts)); len(parts) > 1 {
				require.NoError(t, m.DeleteFile(t.Context(), store.Deletion{File: files[parts[i].ID], Attempt: store.NewAttemptID()}))
				parts = slices.Delete(parts, i, i+1)
				_, err := m.SweepDeleted(t.Context(), 0, store.MaxListLimit)
				require.NoError(t, err)
			}
		},
	}
	steps = append(steps, queueChanges(t, m, n)...)
	steps[0]()
	for range 250 {
		steps[rand.IntN(len(steps))]()
	}
	for _, kind := range []store.TaskKind{store.Reclaim, store.Repair} {
		require.NoError(t, m.Unclaim(t.Context(), kind, 1))
		got, want := depth(t, m, kind), store.QueueDepth{}
		for _, task := range claimAll(t, m, kind) {
			if want.Tasks++; task.Priority == 0 {
				want.Endangered++
			}
		}
		require.Equal(t, want, got)
		require.Equal(t, want, depth(t, m, kind))
	}
}

// queueChanges are calls on uploads, sessions and the metadata log that queue repairs and reclaims.
func queueChanges(t *testing.T, m store.Metadata, n []store.NodeID) []func() {
	x := session(t, m, "of the random calls")
	part := func() store.Part { return newPart(1, n[rand.IntN(6)], n[rand.IntN(6)], store.NodeID{}) }
	log, segments := store.NewLogID(), uint64(0)
	return []func(){
		func() {
			f := newFile("begun", part())
			begin(t, m, f)
			if rand.IntN(2) == 0 {
				f.Parts[0].Chunks[rand.IntN(2)] = store.Placement{}
				_, _, err := m.CommitFile(t.Context(), store.Commit{File: f, Begun: true})
				require.NoError(t, err)
				return
			}
			require.NoError(t, m.FailFile(t.Context(), f, "why", f.Parts))
		},
		func() {
			p := part()
			require.NoError(t, m.BeginPart(t.Context(), x.ID, p))
			if rand.IntN(2) == 0 {
				p.Chunks[rand.IntN(2)] = store.Placement{}
				savePart(t, m, x.ID, p) // and replaces the one before
				return
			}
			require.NoError(t, m.DropPart(t.Context(), p))
		},
		func() {
			segments++
			c := store.LogChange{Term: 1, Add: []store.LogSegment{newSegment(log, segments, 1, n[0], store.NodeID{}, n[rand.IntN(6)])}}
			if segments > 1 {
				c.Remove = []uint64{segments - 1}
			}
			changeLog(t, m, c)
		},
	}
}
