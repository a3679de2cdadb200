package member

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
	clusterv1 "github.com/ringstore/ringstore/proto/cluster/v1"
)

// Bounds of the pause after an attempt to join that failed at all gateways.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 15 * time.Second
)

// memberTimeout bounds one call to one gateway.
const memberTimeout = 5 * time.Second

// JoinerConfig configures a Joiner.
type JoinerConfig struct {
	Gateways    []string                         // host:port of the gateways' servers for nodes, tried in turn; at least one
	JoinToken   string                           // of the cluster; "" sends none
	Credentials credentials.TransportCredentials // nil: plain TCP
	Node        store.Node                       // ID, Name, Address, Zone, Weight and Version
	Cluster     store.ClusterID                  // the node's cluster; zero if it never joined one
	Capacity    func(context.Context) (store.Capacity, error)
	Joined      func(store.ClusterID) error // called after each join, to store the cluster's id; its error ends Run
	Heartbeat   time.Duration               // longest time between heartbeats; 0: the cluster's setting
	Log         *slog.Logger                // nil: slog.Default
	Buffers     *bufpool.Pool               // nil: its own

	// Dialer replaces the network's dialer, for tests.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
}

// Joiner makes a node a member of a cluster and keeps it one.
type Joiner struct {
	config  JoinerConfig
	gates   []*gatewayLink
	current int             // index of the gateway that answered last
	cluster store.ClusterID // joined, or zero
	logged  map[string]bool // causes logged since the last success
}

// gatewayLink is a connection to a gateway.
type gatewayLink struct {
	conn   *grpc.ClientConn
	client clusterv1.MembershipServiceClient
	peer   rpc.Peer
}

// NewJoiner validates the configuration (Invalid) and makes no connection; Run does.
func NewJoiner(c JoinerConfig) (*Joiner, error) {
	if len(c.Gateways) == 0 {
		return nil, store.Errorf(store.Invalid, "no gateway is configured")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Buffers == nil {
		c.Buffers = bufpool.New()
	}
	for _, address := range c.Gateways {
		if err := rpc.CheckAddress("gateway", address); err != nil && c.Dialer == nil {
			return nil, err
		}
	}
	return &Joiner{config: c, cluster: c.Cluster, logged: map[string]bool{}}, nil
}

// dial creates the connections; gRPC opens them on first use.
func (j *Joiner) dial() error {
	config := rpc.ConnectConfig{
		Purpose: rpc.Membership, JoinToken: j.config.JoinToken, Credentials: j.config.Credentials, Buffers: j.config.Buffers, Dialer: j.config.Dialer,
	}
	for _, address := range j.config.Gateways {
		conn, err := rpc.Connect(address, config)
		if err != nil {
			return err
		}
		j.gates = append(j.gates, &gatewayLink{
			conn, clusterv1.NewMembershipServiceClient(conn),
			rpc.Peer{What: "gateway", Address: address, Hint: "Check that s3gateway runs there; the node keeps trying."},
		})
	}
	return nil
}

func (j *Joiner) close() error {
	var errs []error
	for _, g := range j.gates {
		errs = append(errs, g.conn.Close())
	}
	return errors.Join(errs...)
}

// Run joins, retrying indefinitely, then sends heartbeats, and joins again when the cluster
// no longer knows the node. It returns nil when ctx ends, and an error that retrying cannot
// resolve: that with which all gateways refuse the node, as Denied (it was removed, or its join token is wrong),
// PreconditionFailed (its data belongs to another cluster) or Invalid, or the error of Joined. It logs each cause of failure once until the next success.
// Call it once.
func (j *Joiner) Run(ctx context.Context) error {
	defer j.close()
	if err := j.dial(); err != nil {
		return err
	}
	for {
		interval, err := j.join(ctx)
		if err == nil {
			err = j.beat(ctx, interval)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// join tries all gateways, pauses, and repeats that until one has accepted the node.
func (j *Joiner) join(ctx context.Context) (interval time.Duration, err error) {
	through := func(ctx context.Context, g *gatewayLink) (err error) {
		interval, err = j.joinThrough(ctx, g)
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := j.anyGateway(ctx, "join", through)
		if err == nil || isFinal(err) || ctx.Err() != nil {
			return interval, err
		}
		if wait.For(ctx, pause/2+rand.N(pause/2)) != nil {
			return 0, context.Cause(ctx)
		}
	}
}

func (j *Joiner) joinThrough(ctx context.Context, g *gatewayLink) (time.Duration, error) {
	capacity, err := j.config.Capacity(ctx)
	if err != nil {
		return 0, err
	}
	n := j.config.Node
	req := &clusterv1.JoinRequest{
		NodeId: n.ID.String(), ClusterId: j.clusterText(), Name: n.Name, Address: n.Address, Zone: n.Zone,
		Weight: weightToWire(n.Weight), Version: n.Version, DataPort: int32(n.DataPort), Capacity: rpc.CapacityToWire(capacity),
	}
	resp, err := g.client.Join(ctx, req)
	if err != nil {
		return 0, g.peer.Error(ctx, err)
	}
	cluster, err := store.ParseClusterID(resp.GetClusterId())
	if err != nil {
		return 0, err
	}
	if err := j.config.Joined(cluster); err != nil {
		return 0, final{err}
	}
	j.cluster = cluster
	j.config.Log.Info("joined the cluster", "cluster", cluster, "gateway", g.peer.Address, "name", n.Name, "epoch", resp.GetEpoch())
	return j.interval(resp.GetHeartbeatInterval().AsDuration()), nil
}

func (j *Joiner) clusterText() string {
	if j.cluster.IsZero() {
		return ""
	}
	return j.cluster.String()
}

// interval is the shorter of the cluster's and the node's heartbeat.
func (j *Joiner) interval(cluster time.Duration) time.Duration {
	switch own := j.config.Heartbeat; {
	case cluster <= 0 && own <= 0:
		return DefaultHeartbeat
	case cluster <= 0 || own > 0 && own < cluster:
		return own
	default:
		return cluster
	}
}

// beat sends heartbeats until the cluster no longer knows the node (nil), ctx ends, or an
// error is final.
func (j *Joiner) beat(ctx context.Context, interval time.Duration) error {
	for wait.For(ctx, interval) == nil {
		err := j.anyGateway(ctx, "heartbeat", j.beatThrough)
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, store.Denied): // the gateways have another token now: the node keeps what it stores available, and tries on
		case isFinal(err):
			return err
		case errors.Is(err, store.NotFound):
			j.config.Log.Info("the cluster no longer knows this node, so it joins again", "cluster", j.cluster)
			return nil
		}
	}
	return context.Cause(ctx)
}

func (j *Joiner) beatThrough(ctx context.Context, g *gatewayLink) error {
	capacity, err := j.config.Capacity(ctx)
	if err != nil {
		return err
	}
	_, err = g.client.Heartbeat(ctx, &clusterv1.HeartbeatRequest{
		NodeId: j.config.Node.ID.String(), ClusterId: j.clusterText(), Capacity: rpc.CapacityToWire(capacity),
	})
	return g.peer.Error(ctx, err)
}

// anyGateway calls the gateway that answered last, then the others in turn, until one
// succeeds, or answers that it does not know the node.
//
// A gateway that refuses the node is skipped like an unreachable one, so that one wrong address
// among several does not stop the node. If all of them refuse it, that is final.
func (j *Joiner) anyGateway(ctx context.Context, what string, call func(context.Context, *gatewayLink) error) (err error) {
	refused := 0
	for range j.gates {
		g := j.gates[j.current]
		err = j.oneGateway(ctx, g, call)
		if err == nil {
			clear(j.logged)
			return nil
		}
		if ctx.Err() != nil || isFinal(err) || errors.Is(err, store.NotFound) {
			return err
		}
		j.logOnce(what, g, err)
		if isRefusal(err) {
			refused++
		}
		j.current = (j.current + 1) % len(j.gates)
	}
	if refused == len(j.gates) {
		return final{err}
	}
	return err
}

// isRefusal reports whether the gateway knows that it will not accept this node: it was removed, has another token,
// belongs to another cluster, or says something about itself that is not valid.
func isRefusal(err error) bool {
	switch store.KindOf(err) {
	case store.Denied, store.PreconditionFailed, store.Invalid:
		return true
	}
	return false
}

func (j *Joiner) oneGateway(ctx context.Context, g *gatewayLink, call func(context.Context, *gatewayLink) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout,
		store.Errorf(store.Unavailable, "%s %s did not answer within %s", g.peer.What, g.peer.Address, memberTimeout).WithHint("%s", g.peer.Hint))
	defer cancel()
	return call(ctx, g)
}

func (j *Joiner) logOnce(what string, g *gatewayLink, err error) {
	key := what + g.peer.Address + err.Error()
	if j.logged[key] {
		return
	}
	j.logged[key] = true
	j.config.Log.Warn(what+" failed at this gateway", "gateway", g.peer.Address, "cause", err, "hint", store.HintOf(err))
}

// final is an error that no retry can resolve.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

func isFinal(err error) bool {
	_, ok := errors.AsType[final](err)
	return ok
}
