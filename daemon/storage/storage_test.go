package storage_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/rpc/chunks"
	"github.com/ringstore/ringstore/daemon/internal/rpc/member"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token    = "swordfish-swordfish"
	patience = 30 * time.Second
)

// gateway serves membership over meta and returns its address.
func gateway(t *testing.T, meta store.Nodes) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := member.NewServer(member.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: token, Log: slog.New(slog.DiscardHandler)}, Nodes: meta, Heartbeat: 50 * time.Millisecond,
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		require.NoError(t, <-served)
	})
	return l.Addr().String()
}

// process is a node that runs like the program.
type process struct {
	lines chan string
	code  chan int
	stop  context.CancelFunc
	log   *buffer
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{lines: make(chan string, 10), code: make(chan int, 1), log: &buffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	p.stop = cancel
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.code <- storage.Main(ctx, args, nil, w, p.log)
		_ = w.Close()
	}()
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() { cancel(); await(t, "the node to end", ended) })
	return p
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain", what)
		panic("unreachable")
	}
}

func nodeArgs(dir, gate string) []string {
	return []string{"--data", dir, "--gateway", gate, "--join-token", token, "--listen", "127.0.0.1:0", "--name", "n1", "--zone", "rack 1", "--reserve", "0"}
}

var servingLine = regexp.MustCompile(`serving (\S+), data .*, node (\S+)$`)

// ready waits until the node has joined and returns its address and id.
func (p *process) ready(t *testing.T) (address string, id store.NodeID) {
	t.Helper()
	line := await(t, "the node to serve", p.lines)
	m := servingLine.FindStringSubmatch(line)
	require.NotNil(t, m, "%q; log: %s", line, p.log)
	id, err := store.ParseNodeID(m[2])
	require.NoError(t, err)
	require.Contains(t, await(t, "the node to join", p.lines), "ready, joined as n1 ("+m[1]+")")
	return m[1], id
}

func dial(t *testing.T, address string, id store.NodeID) *chunks.Client {
	t.Helper()
	c, err := chunks.Dial(address, chunks.DialConfig{Node: id, JoinToken: token})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestNode_ServesJoinsAndStartsAgain(t *testing.T) {
	t.Parallel()
	meta, dir := mem.NewMetadata(), filepath.Join(t.TempDir(), "node")
	gate := gateway(t, meta)
	p := start(t, nodeArgs(dir, gate)...)
	address, id := p.ready(t)

	view, err := meta.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, view.Nodes, 1)
	n := view.Nodes[0]
	require.Equal(t, store.Node{ID: id, Name: "n1", Address: address, Zone: "rack 1", Weight: 1},
		store.Node{ID: n.ID, Name: n.Name, Address: n.Address, Zone: n.Zone, Weight: n.Weight})
	require.Positive(t, n.Capacity.Free)
	require.Eventually(t, func() bool {
		view, err := meta.Members(t.Context())
		return err == nil && view.Nodes[0].LastBeat.After(n.LastBeat)
	}, patience, 5*time.Millisecond, "heartbeats arrive")

	c := dial(t, address, id)
	chunk, data := chunktest.NewID(), chunktest.Bytes(1, 100_000)
	chunktest.Put(t, c, chunk, data)
	h, err := c.Health(t.Context())
	require.NoError(t, err)
	require.Equal(t, view.Cluster, h.Cluster)

	var out, log bytes.Buffer
	require.Equal(t, 0, storage.Main(t.Context(), []string{"health", "--listen", address}, nil, &out, &log), "%s", log.String())
	require.Equal(t, "serving\n", out.String())

	p.stop()
	require.Equal(t, 0, await(t, "the node to stop", p.code), "%s", p.log)
	require.Equal(t, 1, storage.Main(t.Context(), []string{"health", "--listen", address}, nil, io.Discard, &log))
	require.Contains(t, log.String(), "cannot be reached")

	p = start(t, nodeArgs(dir, gate)...)
	again, sameID := p.ready(t)
	require.Equal(t, id, sameID, "the node keeps its identity")
	got, err := chunktest.Read(t.Context(), dial(t, again, id), chunk)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

func TestNode_DirectoryInUse(t *testing.T) {
	t.Parallel()
	dir, gate := t.TempDir(), gateway(t, mem.NewMetadata())
	start(t, nodeArgs(dir, gate)...).ready(t)
	second := start(t, nodeArgs(dir, gate)...)
	require.Equal(t, 1, await(t, "the second process to end", second.code))
	require.Contains(t, second.log.String(), "in use by another process")
}

func TestNode_OfAnotherCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, nodeArgs(dir, gateway(t, mem.NewMetadata()))...)
	p.ready(t)
	p.stop()
	require.Equal(t, 0, await(t, "the node to stop", p.code))
	p = start(t, nodeArgs(dir, gateway(t, mem.NewMetadata()))...)
	require.Equal(t, 1, await(t, "the node to end", p.code))
	require.Contains(t, p.log.String(), "belongs to cluster")
}

func TestNode_EndsWhenRemoved(t *testing.T) {
	t.Parallel()
	meta := mem.NewMetadata()
	p := start(t, nodeArgs(t.TempDir(), gateway(t, meta))...)
	_, id := p.ready(t)
	require.NoError(t, meta.SetNodeState(t.Context(), id, store.NodeRemoved, ""))
	require.Equal(t, 1, await(t, "the node to end", p.code))
	require.Contains(t, p.log.String(), "removed")
}

func TestNode_PortInUse(t *testing.T) {
	t.Parallel()
	gate := gateway(t, mem.NewMetadata()) // its own port is in use
	p := start(t, append(nodeArgs(t.TempDir(), gate), "--listen", gate)...)
	require.Equal(t, 1, await(t, "the node to end", p.code))
	require.Contains(t, p.log.String(), "--listen "+gate)
}

func TestMain_WrongSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := nodeArgs(dir, "127.0.0.1:1")
	file := filepath.Join(dir, "not a directory")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":    {nil, "--data"},
		"unknown":    {append(good, "--colour", "red"), "--colour"},
		"no token":   {[]string{"--data", dir, "--gateway", "a:1"}, "--join-token"},
		"short":      {[]string{"--data", dir, "--gateway", "a:1", "--join-token", "fifteen letters"}, "--join-token"},
		"both":       {append(good, "--insecure"), "--insecure"},
		"log level":  {append(good, "--log-level", "loud"), "loud"},
		"log format": {append(good, "--log-format", "xml"), "xml"},
		"weight":     {append(good, "--weight", "0"), "--weight"},
		"heartbeat":  {append(good, "--heartbeat", "0s"), "--heartbeat"},
		"gateway":    {append(good, "--gateway", "nowhere"), `"nowhere"`},
		"advertise":  {append(good, "--advertise", "nowhere"), `--advertise "nowhere"`},
		"data":       {append(good, "--data", file), file},
		"health":     {[]string{"health", "--listen", "nowhere"}, `"nowhere"`},
		"health arg": {[]string{"health", "me"}, `"me"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name != "data" && len(c.args) > 1 && c.args[0] == "--data" {
				c.args = append(c.args, "--data", t.TempDir())
			}
			var out, log bytes.Buffer
			require.Equal(t, 2, storage.Main(t.Context(), c.args, nil, &out, &log), "%s", log.String())
			require.Contains(t, log.String(), c.want)
			require.NotContains(t, log.String(), token)
			require.Empty(t, out.String())
		})
	}
}

func TestMain_Help(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Equal(t, 0, storage.Main(t.Context(), []string{"--help"}, nil, &out, io.Discard))
	for _, want := range []string{
		"--data DIR, RINGSTORE_DATA (required)", "--heartbeat TIME, RINGSTORE_HEARTBEAT (default 10s)",
		"--join-token-file FILE, RINGSTORE_JOIN_TOKEN_FILE", "--reserve SIZE, RINGSTORE_RESERVE (default 1GiB)", "health",
	} {
		require.Contains(t, out.String(), want)
	}
	require.False(t, strings.Contains(out.String(), "\t"))
}

// Without configured names the node chooses ones that gateways can use.
func TestNew_NamesItself(t *testing.T) {
	t.Parallel()
	c := storage.DefaultConfig()
	c.Data, c.Gateway, c.Insecure, c.Listen = t.TempDir(), []string{"127.0.0.1:1"}, true, ":0"
	require.NoError(t, c.Validate())
	n, err := storage.New(t.Context(), c, "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	host, err := os.Hostname()
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(n.Address().String())
	require.NoError(t, err)
	require.Equal(t, host+"-"+port, n.Self().Name)
	require.Equal(t, net.JoinHostPort(host, port), n.Self().Address)
}

func TestConfig_ClosedByDefault(t *testing.T) {
	t.Parallel()
	host, _, err := net.SplitHostPort(storage.DefaultConfig().Listen)
	require.NoError(t, err)
	require.True(t, net.ParseIP(host).IsLoopback())
}

// A stop during the start is no failure.
func TestMain_StoppedWhileItStarts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, log bytes.Buffer
	require.Equal(t, 0, storage.Main(ctx, []string{
		"--data", t.TempDir(), "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:1", "--join-token", "0123456789abcdef",
	}, nil, &out, &log), "%s", log.String())
}
