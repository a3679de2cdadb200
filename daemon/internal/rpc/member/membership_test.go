package member_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/member"
	"github.com/ringstore/ringstore/daemon/internal/rpc/rpctest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	clusterv1 "github.com/ringstore/ringstore/proto/cluster/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const joinToken = "swordfish"

// watched is a store.Nodes that signals calls and fails on request.
type watched struct {
	store.Nodes
	joins chan store.Node
	beats chan []store.Beat
	fail  atomic.Pointer[error]
}

// told is the state that a node reports of its disk.
var told = store.Capacity{Total: 10, Free: 5, Disk: store.Disk{State: store.DiskReadOnly, Reason: "remounted read-only"}}

func newWatched() *watched {
	return &watched{Nodes: mem.NewMetadata(), joins: make(chan store.Node, 100), beats: make(chan []store.Beat, 10_000)}
}

func (w *watched) failure() error {
	if err := w.fail.Load(); err != nil {
		return *err
	}
	return nil
}

func (w *watched) JoinNode(ctx context.Context, n store.Node) (store.Membership, error) {
	if err := w.failure(); err != nil {
		return store.Membership{}, err
	}
	m, err := w.Nodes.JoinNode(ctx, n)
	w.joins <- n
	return m, err
}

func (w *watched) BeatNodes(ctx context.Context, beats []store.Beat) ([]store.NodeID, error) {
	if err := w.failure(); err != nil {
		return nil, err
	}
	unknown, err := w.Nodes.BeatNodes(ctx, beats)
	w.beats <- beats
	return unknown, err
}

// gateway serves membership over nodes and returns its address.
func gateway(t testing.TB, nodes store.Nodes, token string) string {
	t.Helper()
	l := rpctest.Listen(t)
	rpctest.Serve(t, member.NewServer(member.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: token, Log: rpctest.Quiet()}, Nodes: nodes, Heartbeat: 20 * time.Millisecond,
	}), l)
	return l.Addr().String()
}

func membershipClient(t testing.TB, nodes store.Nodes) clusterv1.MembershipServiceClient {
	t.Helper()
	return clusterv1.NewMembershipServiceClient(rpctest.Conn(t, gateway(t, nodes, "")))
}

func joinRequest(name string) *clusterv1.JoinRequest {
	return &clusterv1.JoinRequest{NodeId: store.NewNodeID().String(), Name: name, Address: "127.0.0.1:1", Weight: 1, Version: "test"}
}

func TestMembership_Join(t *testing.T) {
	t.Parallel()
	meta := mem.NewMetadata()
	c := membershipClient(t, meta)
	view, err := meta.Members(t.Context())
	require.NoError(t, err)

	req := joinRequest("n1")
	for range 2 { // joining can be repeated
		resp, err := c.Join(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, view.Cluster.String(), resp.GetClusterId())
		require.Equal(t, 20*time.Millisecond, resp.GetHeartbeatInterval().AsDuration())
		req.ClusterId = resp.GetClusterId()
	}
	view, err = meta.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, view.Nodes, 1)
	require.Equal(t, "127.0.0.1:1", view.Nodes[0].Address)

	with := func(change func(*clusterv1.JoinRequest)) error {
		r := joinRequest("n2")
		change(r)
		_, err := c.Join(t.Context(), r)
		return err
	}
	for want, err := range map[codes.Code]error{
		codes.FailedPrecondition: with(func(r *clusterv1.JoinRequest) { r.ClusterId = store.NewClusterID().String() }),
		codes.Aborted:            with(func(r *clusterv1.JoinRequest) { r.Name = "n1" }),
	} {
		require.Equal(t, want, status.Code(err), "%v", err)
	}
	for name, err := range map[string]error{
		"id":      with(func(r *clusterv1.JoinRequest) { r.NodeId = "x" }),
		"cluster": with(func(r *clusterv1.JoinRequest) { r.ClusterId = "x" }),
		"name":    with(func(r *clusterv1.JoinRequest) { r.Name = "" }),
		"address": with(func(r *clusterv1.JoinRequest) { r.Address = "" }),
		"weight":  with(func(r *clusterv1.JoinRequest) { r.Weight = 0 }),
	} {
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%s: %v", name, err)
	}
	id, err := store.ParseNodeID(req.GetNodeId())
	require.NoError(t, err)
	require.NoError(t, meta.SetNodeState(t.Context(), id, store.NodeRemoved, ""))
	_, err = c.Join(t.Context(), req)
	require.Equal(t, codes.PermissionDenied, status.Code(err), "a removed node stays out")
	_, err = c.Heartbeat(t.Context(), &clusterv1.HeartbeatRequest{NodeId: req.GetNodeId()})
	require.Equal(t, codes.NotFound, status.Code(err))
	_, err = c.Heartbeat(t.Context(), &clusterv1.HeartbeatRequest{NodeId: "x"})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = c.Heartbeat(t.Context(), &clusterv1.HeartbeatRequest{NodeId: req.GetNodeId(), ClusterId: store.NewClusterID().String()})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
}

func TestMembership_SizeOfRequests(t *testing.T) {
	t.Parallel()
	_, err := membershipClient(t, mem.NewMetadata()).Join(t.Context(), &clusterv1.JoinRequest{Name: strings.Repeat("x", rpc.MaxControl)})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
}

func TestMembership_BeatsAreWrittenTogether(t *testing.T) {
	t.Parallel()
	const nodes = 200
	meta := newWatched()
	c := membershipClient(t, meta)
	ids := make([]string, nodes)
	for i := range ids {
		r := joinRequest("n" + store.NewNodeID().String())
		ids[i] = r.GetNodeId()
		_, err := c.Join(t.Context(), r)
		require.NoError(t, err)
		<-meta.joins
	}
	var wg sync.WaitGroup
	errs := make(chan error, nodes)
	for _, id := range ids {
		wg.Go(func() { errs <- rpctest.ErrOf(c.Heartbeat(t.Context(), &clusterv1.HeartbeatRequest{NodeId: id})) })
	}
	wg.Wait()
	for range ids {
		require.NoError(t, <-errs)
	}
	writes, written := 0, 0
	for len(meta.beats) > 0 {
		writes++
		written += len(<-meta.beats)
	}
	require.Equal(t, nodes, written, "each beat is written")
	require.Less(t, writes, nodes/4, "and many in one step")

	away := error(store.Errorf(store.Unavailable, "the database is away"))
	meta.fail.Store(&away)
	_, err := c.Heartbeat(t.Context(), &clusterv1.HeartbeatRequest{NodeId: ids[0]})
	require.Equal(t, codes.Unavailable, status.Code(err))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = c.Heartbeat(ctx, &clusterv1.HeartbeatRequest{NodeId: ids[0]})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err), "a caller does not wait longer than it wants")
}

// joining is a running Joiner with a record of what it did.
type joining struct {
	done     chan error
	stop     context.CancelFunc
	clusters chan store.ClusterID
	log      *rpctest.Log
}

func startJoiner(t testing.TB, c member.JoinerConfig) *joining {
	t.Helper()
	j := &joining{done: make(chan error, 1), clusters: make(chan store.ClusterID, 100), log: &rpctest.Log{}}
	if c.Node.ID.IsZero() {
		c.Node = store.Node{ID: store.NewNodeID(), Name: "n1", Address: "127.0.0.1:1", Weight: 1}
	}
	if c.Capacity == nil {
		c.Capacity = func(context.Context) (store.Capacity, error) { return told, nil }
	}
	if c.Joined == nil {
		c.Joined = func(id store.ClusterID) error { j.clusters <- id; return nil }
	}
	c.Log = slog.New(slog.NewTextHandler(j.log, nil))
	joiner, err := member.NewJoiner(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	j.stop = cancel
	ended := make(chan struct{})
	go func() { defer close(ended); j.done <- joiner.Run(ctx) }()
	t.Cleanup(func() { cancel(); rpctest.Await(t, "Run to end", ended) })
	return j
}

func TestJoiner_JoinsAndBeats(t *testing.T) {
	t.Parallel()
	meta := newWatched()
	j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, meta, joinToken)}, JoinToken: joinToken})
	n := rpctest.Await(t, "the join", meta.joins)
	require.Equal(t, int64(5), n.Capacity.Free)
	view, err := meta.Members(t.Context())
	require.NoError(t, err)
	require.Equal(t, view.Cluster, rpctest.Await(t, "the cluster's id", j.clusters))
	for range 3 {
		require.Equal(t, []store.Beat{{Node: n.ID, Capacity: told}}, rpctest.Await(t, "a beat", meta.beats))
	}
	j.stop()
	require.NoError(t, rpctest.Await(t, "Run to end", j.done))
}

// Of four gateways one is unreachable, one has lost its database, and one is of another
// cluster: the fourth accepts the node.
func TestJoiner_TriesEachGateway(t *testing.T) {
	t.Parallel()
	gone := rpctest.Listen(t)
	require.NoError(t, gone.Close())
	broken, meta := newWatched(), newWatched()
	broken.Nodes = meta.Nodes // both of the same cluster
	away := error(store.Errorf(store.Unavailable, "the database is away"))
	broken.fail.Store(&away)
	j := startJoiner(t, member.JoinerConfig{Gateways: []string{gone.Addr().String(), gateway(t, broken, ""), gateway(t, newWatched(), ""), gateway(t, meta, "")}, Cluster: clusterOf(t, meta)})
	rpctest.Await(t, "the join", meta.joins)
	rpctest.Await(t, "a beat", meta.beats)
	require.Contains(t, j.log.String(), "cannot be reached")
	require.Contains(t, j.log.String(), "the database is away")
	require.Contains(t, j.log.String(), "belongs to cluster")

	// Then that one fails and the second works again: beats are sent there.
	meta.fail.Store(&away)
	broken.fail.Store(nil)
	rpctest.Await(t, "a beat there", broken.beats)
	require.Empty(t, j.done)
}

func clusterOf(t testing.TB, nodes store.Nodes) store.ClusterID {
	t.Helper()
	view, err := nodes.Members(t.Context())
	require.NoError(t, err)
	return view.Cluster
}

func TestJoiner_KeepsTryingAndLogsEachCauseOnce(t *testing.T) {
	t.Parallel()
	meta := newWatched()
	away := error(store.Errorf(store.Unavailable, "the database is away"))
	meta.fail.Store(&away)
	j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, meta, "")}})
	require.Eventually(t, func() bool { return strings.Contains(j.log.String(), "database is away") }, rpctest.Patience, time.Millisecond)
	other := error(store.Errorf(store.Internal, "something else"))
	meta.fail.Store(&other)
	require.Eventually(t, func() bool { return strings.Contains(j.log.String(), "something else") }, rpctest.Patience, time.Millisecond)
	meta.fail.Store(nil)
	rpctest.Await(t, "the join", meta.joins)
	require.Equal(t, 1, strings.Count(j.log.String(), "database is away"))
}

func TestJoiner_JoinsAgainWhenForgotten(t *testing.T) {
	t.Parallel()
	meta := newWatched()
	meta.Nodes = forgetful{meta.Nodes, new(atomic.Bool)}
	j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, meta, "")}})
	first := rpctest.Await(t, "the join", meta.joins)
	cluster := rpctest.Await(t, "the cluster", j.clusters)
	again := rpctest.Await(t, "the second join", meta.joins)
	require.Equal(t, first.ID, again.ID)
	require.Equal(t, cluster, rpctest.Await(t, "the cluster again", j.clusters))
}

// forgetful answers the first beat as if the node were unknown.
type forgetful struct {
	store.Nodes
	once *atomic.Bool
}

func (f forgetful) BeatNodes(ctx context.Context, beats []store.Beat) ([]store.NodeID, error) {
	if !f.once.Swap(true) {
		return []store.NodeID{beats[0].Node}, nil
	}
	return f.Nodes.BeatNodes(ctx, beats)
}

func TestJoiner_StopsWhereTryingOnCannotHelp(t *testing.T) {
	t.Parallel()
	t.Run("removed", func(t *testing.T) {
		t.Parallel()
		meta := newWatched()
		j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, meta, "")}})
		n := rpctest.Await(t, "the join", meta.joins)
		require.NoError(t, meta.SetNodeState(t.Context(), n.ID, store.NodeRemoved, ""))
		require.ErrorIs(t, rpctest.Await(t, "Run to end", j.done), store.Denied)
	})
	t.Run("another cluster", func(t *testing.T) {
		t.Parallel()
		j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, newWatched(), "")}, Cluster: store.NewClusterID()})
		err := rpctest.Await(t, "Run to end", j.done)
		require.ErrorIs(t, err, store.PreconditionFailed)
		require.NotEmpty(t, store.HintOf(err))
	})
	t.Run("invalid", func(t *testing.T) {
		t.Parallel()
		j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, newWatched(), "")}, Node: store.Node{ID: store.NewNodeID(), Name: "n", Address: "a:1"}})
		require.ErrorIs(t, rpctest.Await(t, "Run to end", j.done), store.Invalid)
	})
	t.Run("its own fault", func(t *testing.T) {
		t.Parallel()
		full := errors.New("no room for the id")
		j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, newWatched(), "")}, Joined: func(store.ClusterID) error { return full }})
		require.ErrorIs(t, rpctest.Await(t, "Run to end", j.done), full)
	})
}

// A node with a wrong token ends with a hint, and no token is in the log or the error.
func TestJoiner_WrongToken(t *testing.T) {
	t.Parallel()
	j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, newWatched(), joinToken)}, JoinToken: "perch"})
	err := rpctest.Await(t, "Run to end", j.done)
	require.ErrorIs(t, err, store.Denied)
	require.Contains(t, store.HintOf(err), "same join token")
	for _, text := range []string{j.log.String(), err.Error(), store.HintOf(err)} {
		require.NotContains(t, text, joinToken)
		require.NotContains(t, text, "perch")
	}
}

// A gateway with another token does not keep a node from joining through the next one.
func TestJoiner_OneWrongTokenOfTwo(t *testing.T) {
	t.Parallel()
	meta := newWatched()
	j := startJoiner(t, member.JoinerConfig{Gateways: []string{gateway(t, newWatched(), joinToken+"2"), gateway(t, meta, joinToken)}, JoinToken: joinToken})
	rpctest.Await(t, "the join", meta.joins)
	require.Contains(t, j.log.String(), "same join token")
	require.Empty(t, j.done)
}

func TestNewJoiner_Refuses(t *testing.T) {
	t.Parallel()
	for _, gateways := range [][]string{nil, {"localhost"}} {
		_, err := member.NewJoiner(member.JoinerConfig{Gateways: gateways})
		require.ErrorIs(t, err, store.Invalid)
	}
}
