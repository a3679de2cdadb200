package integration

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/ringstore/ringstore/tests/cluster"
)

const (
	hostileStreams = 1500
	hostileBytes   = 512 << 10 // of a message that is never completed

	// mayRise and mayTake bound what hostile streams may cost a daemon in memory, and for how long after they have ended.
	mayRise = 64 << 20
	mayTake = time.Minute
)

// hostile is an HTTP/2 client that ignores flow control.
type hostile struct {
	net.Conn
	out  *http2.Framer
	next uint32 // id of the next stream
}

func attack(address string) (*hostile, error) {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	h := &hostile{Conn: c, out: http2.NewFramer(c, nil), next: 1}
	go func() { _, _ = io.Copy(io.Discard, c) }() // answers, so that the server can write them
	if err := c.SetWriteDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return h, err
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return h, err
	}
	return h, h.out.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
}

// begin opens a stream that calls method.
func (h *hostile) begin(method string, header map[string]string) (stream uint32, err error) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // writes to memory, cannot fail
	}
	for name, value := range header {
		_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value})
	}
	stream, h.next = h.next, h.next+2
	return stream, h.out.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
}

// half sends the beginning of a message of size bytes.
func (h *hostile) half(stream uint32, size, sent int) error {
	head := make([]byte, 5, 5+16<<10)
	binary.BigEndian.PutUint32(head[1:], uint32(size))
	piece := head[:cap(head)-5]
	for ; sent > 0; sent -= len(piece) {
		if err := h.out.WriteData(stream, false, piece); err != nil {
			return err
		}
		piece = make([]byte, 16<<10)
	}
	return nil
}

// resident is the memory of a process in bytes, as the kernel counts it.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Skip("the kernel does not tell how much memory a process has")
	return 0
}

// bearer is the authorization of a member of the cluster.
func bearer(purpose string) map[string]string {
	mac := hmac.New(sha256.New, []byte(cluster.JoinToken))
	mac.Write([]byte(purpose))
	return map[string]string{"authorization": "Bearer " + hex.EncodeToString(mac.Sum(nil))}
}

// storm is a way to open hostile streams on a number of connections.
type storm struct {
	name        string
	connections int
	method      string
	size        int // that each message announces
	header      map[string]string
}

// run opens all streams and keeps them open until the caller closes what it returns. Errors are the server's
// defence and not a failure.
func (s storm) run(address string) (open []io.Closer) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for range s.connections {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			h, err := attack(address)
			if h == nil {
				return
			}
			mu.Lock()
			open = append(open, h)
			mu.Unlock()
			for i := 0; err == nil && i < hostileStreams/s.connections; i++ {
				var stream uint32
				if stream, err = h.begin(s.method, s.header); err == nil {
					err = h.half(stream, s.size, hostileBytes)
				}
			}
		})
	}
	wg.Wait()
	return open
}

// TestHostileStreams attacks the gRPC ports of real processes with streams that send half a message and stop, and
// checks the memory of the processes.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	c, _ := start(t, cluster.Options{Nodes: 1, Gateway: []string{"--survive", "0"}})
	const (
		putSmall = "/ringstore.storage.v1.StorageService/PutSmallChunk"
		join     = "/ringstore.cluster.v1.MembershipService/Join"
		health   = "/grpc.health.v1.Health/Check"
	)
	type target struct {
		process *cluster.Process
		address string
		method  string
	}
	node, gateway := target{c.Nodes[0], c.Addresses[0], putSmall}, target{c.Gateway, c.Join, join}
	far := map[string]string{"grpc-timeout": "99999999H"}
	for _, at := range []target{node, gateway} {
		for _, s := range []storm{
			{"one connection", 1, at.method, 4 << 20, nil},
			{"many connections", hostileStreams, at.method, 4 << 20, nil},
			{"whole frames", 1, at.method, 1 << 20, nil},
			{"far deadlines", 1, at.method, 1 << 20, far},
			{"services without key", 3, health, 1 << 20, nil},
			{"reflection", 3, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 1 << 20, nil},
			{"a member", 30, join, 60 << 10, bearer("ringstore membership v1")},
		} {
			t.Run(at.process.Name+"/"+s.name, func(t *testing.T) { requireBounded(t, at.process, at.address, s.run) })
		}
	}
	t.Run(node.process.Name+"/data port", func(t *testing.T) { requireBounded(t, node.process, node.address, knock) })
	require.True(t, c.Gateway.Running())
	require.NoError(t, c.WaitReady(t.Context(), 1), "and the cluster works")
}

// knock opens connections to the data port of a node, and sends puts without a proof and more than they announce.
func knock(address string) (open []io.Closer) {
	for i := range hostileStreams {
		c, err := net.DialTimeout("tcp", address, 10*time.Second)
		if err != nil {
			continue
		}
		open = append(open, c)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := io.WriteString(c, "RSdata1\n"[:8-i%2]); err == nil && i%4 == 0 {
			_, _ = c.Write(make([]byte, hostileBytes))
		}
	}
	return open
}

func requireBounded(t *testing.T, p *cluster.Process, address string, run func(address string) []io.Closer) {
	before := resident(t, p.PID())
	open := run(address)
	most := resident(t, p.PID())
	for range 20 {
		time.Sleep(50 * time.Millisecond) // ADR 111: polls a process that is still reading
		most = max(most, resident(t, p.PID()))
	}
	for _, h := range open {
		h.Close()
	}
	require.Less(t, most-before, int64(mayRise), "resident before %d, at most %d", before, most)
	t.Logf("resident before %d MiB, most %d MiB", before>>20, most>>20)
	end := time.Now().Add(mayTake)
	for now := most; now-before >= mayRise/2; now = resident(t, p.PID()) {
		require.True(t, time.Now().Before(end), "resident before %d, now %d", before, now)
		time.Sleep(500 * time.Millisecond) // ADR 111: polls other processes
	}
}
