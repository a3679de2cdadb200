package data_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/data"
	"github.com/ringstore/ringstore/daemon/internal/rpc/rpctest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// store1 stores a chunk of one unit and returns its id.
func store1(t testing.TB, c chunk.Store, content []byte) store.ChunkID {
	t.Helper()
	id := chunkID()
	_, err := chunk.PutSmall(t.Context(), c, chunk.Spec{ID: id, UnitSize: 4096}, chunk.NewUnit(content, nil), chunk.Label{Bucket: "b", Key: "k"})
	require.NoError(t, err)
	return id
}

func read(t testing.TB, c chunk.ReaderOpener, id store.ChunkID) ([]byte, error) {
	t.Helper()
	r, err := c.Open(t.Context(), id, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b []byte
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		b = append(b, u.Data...)
		u.Release()
	}
}

// stream stores a chunk of units.
func stream(t testing.TB, c chunk.WriterOpener, units ...string) (store.ChunkID, error) {
	t.Helper()
	id := chunkID()
	w, err := c.Create(t.Context(), chunk.Spec{ID: id, UnitSize: len(units[0])})
	require.NoError(t, err)
	defer w.Abort()
	for _, u := range units {
		if err := w.Append(chunk.NewUnit([]byte(u), nil)); err != nil {
			return id, err
		}
	}
	_, err = w.Commit(chunk.Label{Bucket: "b", Key: "k"})
	return id, err
}

// dialed counts the connections that a client opens to the data port, and can replace them.
type dialed struct {
	net.Dialer
	count  atomic.Int32
	change func(net.Conn) net.Conn
}

func (d *dialed) dial(ctx context.Context, address string) (net.Conn, error) {
	d.count.Add(1)
	c, err := d.DialContext(ctx, "tcp", address)
	if err == nil && d.change != nil {
		c = d.change(c)
	}
	return c, err
}

// liar changes what is read from a connection.
type liar struct {
	net.Conn
	change func(b []byte) // what one call has read
}

func (l liar) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.change(p[:n])
	return n, err
}

// dialTo returns a client of a server; d replaces its dialer for the data port, and its log is returned.
func dialTo(t testing.TB, s served, d *dialed) (*data.Client, *rpctest.Log) {
	t.Helper()
	control, err := chunks.Dial(s.address, chunks.DialConfig{JoinToken: joinToken, Node: s.node})
	require.NoError(t, err)
	log := new(rpctest.Log)
	client := data.Dial(s.address, data.DialConfig{
		GRPC: control, Node: s.node, JoinToken: joinToken, Dialer: d.dial, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client, log
}

func TestClient_FallsBackToGRPCAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	garbage := func(from int) func(net.Conn) net.Conn {
		return func(c net.Conn) net.Conn {
			read := 0
			return liar{c, func(b []byte) {
				for i := range b {
					if read >= from {
						b[i] = 0xEE
					}
					read++
				}
			}}
		}
	}
	for what, test := range map[string]struct {
		serve  func(testing.TB, time.Duration) served
		change func(net.Conn) net.Conn
	}{
		"another greeting":           {serve, garbage(0)},
		"another answer":             {serve, garbage(data.GreetingSize)},
		"a node without a data port": {serveGRPC, nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := test.serve(t, rpctest.Patience)
			d := &dialed{change: test.change}
			client, log := dialTo(t, s, d)
			id := store1(t, client, []byte("small"))
			got, err := read(t, client, id)
			require.NoError(t, err)
			require.Equal(t, "small", string(got))
			id, err = stream(t, client, "many", "more")
			require.NoError(t, err)
			got, err = read(t, client, id)
			require.NoError(t, err)
			require.Equal(t, "manymore", string(got))
			require.Equal(t, 1, strings.Count(log.String(), "the data port of a node misbehaves"), log)
			require.EqualValues(t, 1, d.count.Load(), "it is left alone for a while")
		})
	}
}

func TestClient_ReadsTheRestOverGRPC(t *testing.T) {
	t.Parallel()
	s := serve(t, rpctest.Patience)
	var broken atomic.Bool
	client, log := dialTo(t, s, &dialed{change: func(c net.Conn) net.Conn {
		return liar{c, func(b []byte) {
			if broken.Load() {
				clear(b)
			}
		}}
	}})
	unit := strings.Repeat("x", 64<<10)
	id, err := stream(t, client, unit, strings.Repeat("y", 64<<10), unit)
	require.NoError(t, err)
	r, err := client.Open(t.Context(), id, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	u, err := r.Next()
	require.NoError(t, err)
	u.Release()
	broken.Store(true)
	var rest bytes.Buffer
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		rest.Write(u.Data)
		u.Release()
	}
	require.Equal(t, strings.Repeat("y", 64<<10)+unit, rest.String())
	require.Contains(t, log.String(), "misbehaves")
}

func TestClient_TellsBytesThatChangedOnTheWay(t *testing.T) {
	t.Parallel()
	s := serve(t, rpctest.Patience)
	id := store1(t, s.chunks, bytes.Repeat([]byte("x"), 4000))
	client, log := dialTo(t, s, &dialed{change: func(c net.Conn) net.Conn {
		return liar{c, func(b []byte) {
			if len(b) > 2000 {
				b[len(b)-1]++
			}
		}}
	}})
	got, err := read(t, client, id)
	require.NoError(t, err, "it is read again over gRPC, where the node compares the checksum as well")
	require.Equal(t, bytes.Repeat([]byte("x"), 4000), got)
	require.NotContains(t, log.String(), "misbehaves")
}

func TestClient_NoticesThatTheNodeWasRestarted(t *testing.T) {
	t.Parallel()
	kept := mem.NewChunks()
	node := store.NewNodeID()
	start := func(l net.Listener) (stop func()) {
		server := chunks.NewServer(chunks.ServerConfig{
			ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: kept, Node: node,
			Beside: data.NewServer(data.ServerConfig{Chunks: kept, Node: node, JoinToken: joinToken, Log: rpctest.Quiet()}),
		})
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		return func() {
			require.NoError(t, server.Shutdown(t.Context()), "no request is in progress")
			require.NoError(t, <-served)
		}
	}
	l := rpctest.Listen(t)
	address := l.Addr().String()
	stop := start(l)
	client, log := dialTo(t, served{address: address, node: node}, &dialed{})
	id := store1(t, client, []byte("before"))
	_, err := read(t, client, id)
	require.NoError(t, err)
	stop()
	l, err = net.Listen("tcp", address)
	require.NoError(t, err)
	stop = start(l)
	got, err := read(t, client, id)
	require.NoError(t, err)
	require.Equal(t, "before", string(got))
	require.Eventually(t, func() bool {
		u := chunk.NewUnit([]byte("after"), nil)
		_, err := client.PutSmall(t.Context(), chunk.Spec{ID: chunkID(), UnitSize: 64}, u, chunk.Label{})
		return err == nil
	}, rpctest.Patience, time.Millisecond, "the first put may still meet the old connection")
	require.NotContains(t, log.String(), "misbehaves")
	stop()
}

func TestClient_TakesGRPCWhenTheClockOfTheNodeIsSet(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	kept, node := mem.NewChunks(), store.NewNodeID()
	l := rpctest.Listen(t)
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: kept, Node: node,
		Beside: data.NewServer(data.ServerConfig{
			Chunks: kept, Node: node, JoinToken: joinToken, Log: rpctest.Quiet(),
			Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		}),
	}), l)
	d := &dialed{}
	client, log := dialTo(t, served{address: l.Addr().String(), node: node}, d)
	for n, set := range []time.Duration{0, time.Hour, -24 * time.Hour} {
		ahead.Store(int64(set))
		for range 3 { // the first calls meet connections that know an older time
			id := store1(t, client, []byte("small"))
			got, err := read(t, client, id)
			require.NoError(t, err)
			require.Equal(t, "small", string(got))
		}
		require.LessOrEqual(t, int(d.count.Load()), 2*(n+1), "later ones have new connections")
	}
	require.Empty(t, log.String())
}

func TestClient_AnUnreachableNodeIsUnavailableAtOnce(t *testing.T) {
	t.Parallel()
	l := rpctest.Listen(t)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	d := &dialed{}
	client, log := dialTo(t, served{address: address}, d)
	for range 20 {
		_, err := read(t, client, chunkID())
		require.ErrorIs(t, err, store.Unavailable)
		require.ErrorContains(t, err, "cannot be reached")
		require.NotEmpty(t, store.HintOf(err))
	}
	_, err := client.PutSmall(t.Context(), chunk.Spec{ID: chunkID(), UnitSize: 64}, chunk.NewUnit([]byte("x"), nil), chunk.Label{})
	require.ErrorIs(t, err, store.Unavailable)
	require.Less(t, d.count.Load(), int32(10), "it does not connect for each call")
	require.Empty(t, log.String())
}

// gated is a store whose puts wait.
type gated struct {
	chunk.Store
	entered chan store.ChunkID
	open    chan struct{} // a value lets one put through; closed: all
	mu      sync.Mutex    // guards most
	now     int
	most    int // puts in progress at the same time
}

func newGated() *gated {
	return &gated{Store: mem.NewChunks(), entered: make(chan store.ChunkID, 1000), open: make(chan struct{})}
}

func (g *gated) PutSmall(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}()
	g.entered <- spec.ID
	select {
	case <-g.open:
	case <-ctx.Done():
		u.Release()
		return chunk.Info{}, ctx.Err()
	}
	return chunk.PutSmall(ctx, g.Store, spec, u, label)
}

// PutMany has all of them in progress at the same time.
func (g *gated) PutMany(puts []chunk.SmallPut) []chunk.PutResult { return together(g, puts) }

func (d deaf) PutMany(puts []chunk.SmallPut) []chunk.PutResult { return together(d, puts) }

func together(s chunk.SmallPutter, puts []chunk.SmallPut) []chunk.PutResult {
	results := make([]chunk.PutResult, len(puts))
	var all sync.WaitGroup
	for i, p := range puts {
		all.Go(func() { results[i].Info, results[i].Err = s.PutSmall(p.Context, p.Spec, p.Unit, p.Label) })
	}
	all.Wait()
	return results
}

func TestClient_PutsThatWaitAreSentTogether(t *testing.T) {
	t.Parallel()
	g := newGated()
	client := overTCP(t, g)
	var all sync.WaitGroup
	put := func() {
		all.Go(func() {
			_, err := client.PutSmall(context.Background(), chunk.Spec{ID: chunkID(), UnitSize: 64}, chunk.NewUnit([]byte("x"), nil), chunk.Label{})
			require.NoError(t, err)
		})
	}
	put()
	rpctest.Await(t, "the first put", g.entered)
	for range 20 {
		put()
	}
	require.Eventually(t, func() bool { return client.Waiting() == 20 }, rpctest.Patience, time.Millisecond)
	require.Empty(t, g.entered, "none is sent before the first is answered")
	g.open <- struct{}{}
	for range 20 {
		rpctest.Await(t, "a put", g.entered)
	}
	close(g.open)
	all.Wait()
	require.Equal(t, 20, g.most, "the node had them all at once")
}

func TestClient_ACallerThatLeavesDoesNotWait(t *testing.T) {
	t.Parallel()
	g := newGated()
	client := overTCP(t, g)
	ctx, leave := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	put := func(ctx context.Context) store.ChunkID {
		id := chunkID()
		go func() {
			_, err := client.PutSmall(ctx, chunk.Spec{ID: id, UnitSize: 64}, chunk.NewUnit([]byte("x"), nil), chunk.Label{})
			failed <- err
		}()
		return id
	}
	sent := put(ctx)
	rpctest.Await(t, "the first put", g.entered)
	waiting := put(ctx)
	require.Eventually(t, func() bool { return client.Waiting() == 1 }, rpctest.Patience, time.Millisecond)
	leave()
	for range 2 {
		require.ErrorIs(t, rpctest.Await(t, "the end of a put", failed), store.Canceled)
	}
	next := put(t.Context())
	close(g.open) // the first is answered, and the next sent
	require.Equal(t, next, rpctest.Await(t, "the next put", g.entered))
	require.NoError(t, rpctest.Await(t, "the end of a put", failed))
	_, err := g.Stat(t.Context(), sent)
	require.NoError(t, err, "it was being stored already: its reclaim waits for that")
	_, err = g.Stat(t.Context(), waiting)
	require.ErrorIs(t, err, store.NotFound, "it was never sent")
}

// deaf is a store whose puts ignore that the caller has left.
type deaf struct{ *gated }

func (d deaf) PutSmall(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	return d.gated.PutSmall(context.WithoutCancel(ctx), spec, u, label)
}

func TestClient_AStuckConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	g := newGated()
	client := overTCP(t, deaf{g})
	client.HurryCancels(time.Millisecond)
	ctx, leave := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	put := func(ctx context.Context) {
		_, err := client.PutSmall(ctx, chunk.Spec{ID: chunkID(), UnitSize: 64}, chunk.NewUnit([]byte("x"), nil), chunk.Label{})
		failed <- err
	}
	go put(ctx)
	rpctest.Await(t, "the first put", g.entered)
	leave()
	require.ErrorIs(t, rpctest.Await(t, "the end of the first put", failed), store.Canceled)
	go put(t.Context())
	rpctest.Await(t, "the second put, over another connection", g.entered)
	close(g.open)
	require.NoError(t, rpctest.Await(t, "the end of the second put", failed))
}

func TestClient_MoreRequestsThanConnectionsTakeGRPC(t *testing.T) {
	t.Parallel()
	s := serve(t, rpctest.Patience)
	s.chunks.calls = nil
	id := store1(t, s.chunks.Store, []byte("small"))
	d := &dialed{}
	client, log := dialTo(t, s, d)
	var readers []chunk.Reader
	defer func() {
		for _, r := range readers {
			_ = r.Close()
		}
	}()
	for range data.MaxOpen + 10 {
		r, err := client.Open(t.Context(), id, 0, -1)
		require.NoError(t, err)
		readers = append(readers, r)
	}
	for _, r := range readers {
		u, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, "small", string(u.Data))
		u.Release()
	}
	require.EqualValues(t, data.MaxOpen, d.count.Load())
	require.Empty(t, log.String())
}

func TestServer_FinishesWhatIsInProgressWhenItStops(t *testing.T) {
	t.Parallel()
	g := newGated()
	l := rpctest.Listen(t)
	node := store.NewNodeID()
	server := chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: g, Node: node,
		Beside: data.NewServer(data.ServerConfig{Chunks: g, Node: node, JoinToken: joinToken, Log: rpctest.Quiet()}),
	})
	served1 := make(chan error, 1)
	go func() { served1 <- server.Serve(l) }()
	client, _ := dialTo(t, served{address: l.Addr().String(), node: node}, &dialed{})
	put := make(chan error, 1)
	go func() {
		_, err := client.PutSmall(context.Background(), chunk.Spec{ID: chunkID(), UnitSize: 64}, chunk.NewUnit([]byte("x"), nil), chunk.Label{})
		put <- err
	}()
	rpctest.Await(t, "the put", g.entered)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool { _, err := net.Dial("tcp", l.Addr().String()); return err != nil }, rpctest.Patience, time.Millisecond)
	g.open <- struct{}{}
	require.NoError(t, rpctest.Await(t, "the answer", put))
	require.NoError(t, rpctest.Await(t, "the end of the server", stopped))
	require.NoError(t, <-served1)
}

func TestServer_InterruptsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	g := newGated()
	client := overTCP(t, g) // its server is shut down without any patience
	go func() {
		_, _ = client.PutSmall(context.Background(), chunk.Spec{ID: chunkID(), UnitSize: 64}, chunk.NewUnit([]byte("x"), nil), chunk.Label{})
	}()
	rpctest.Await(t, "the put", g.entered)
}

// panicking is a store with a defect.
type panicking struct{ chunk.Store }

func (panicking) PutSmall(context.Context, chunk.Spec, chunk.Unit, chunk.Label) (chunk.Info, error) {
	panic("put")
}

func (panicking) Open(context.Context, store.ChunkID, int, int) (chunk.Reader, error) { panic("open") }

func (panicking) Create(context.Context, chunk.Spec) (chunk.Writer, error) { panic("create") }

func TestServer_SurvivesADefectOfTheStore(t *testing.T) {
	t.Parallel()
	client := overTCP(t, panicking{mem.NewChunks()})
	for range 3 {
		_, err := client.PutSmall(t.Context(), chunk.Spec{ID: chunkID(), UnitSize: 64}, chunk.NewUnit([]byte("x"), nil), chunk.Label{})
		require.ErrorIs(t, err, store.Internal)
		_, err = read(t, client, chunkID())
		require.ErrorIs(t, err, store.Internal)
		_, err = stream(t, client, "unit")
		require.ErrorIs(t, err, store.Internal)
	}
}
