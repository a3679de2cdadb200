package connlimit_test

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/connlimit"
)

// scripted is a listener with connections from given addresses.
type scripted struct {
	conns chan net.Conn
}

func (s *scripted) Accept() (net.Conn, error) {
	c, ok := <-s.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (s *scripted) Close() error   { return nil }
func (s *scripted) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// from is one end of a pipe that claims an address.
type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

type rig struct {
	t    *testing.T
	in   *scripted
	l    *connlimit.Listener
	logs bytes.Buffer
	now  time.Time
}

func newRig(t *testing.T, c connlimit.Config) *rig {
	r := &rig{t: t, in: &scripted{make(chan net.Conn, 1)}, now: time.Unix(1_000_000, 0)}
	c.Log = slog.New(slog.NewTextHandler(&r.logs, nil))
	c.Now = func() time.Time { return r.now }
	r.l = connlimit.New(r.in, c)
	return r
}

// dial connects from ip and returns the result of Accept, or nil when the connection was closed
// instead; far is the client's end.
func (r *rig) dial(ip string) (near, far net.Conn) {
	r.t.Helper()
	server, client := net.Pipe()
	r.t.Cleanup(func() { server.Close(); client.Close() })
	r.in.conns <- from{server, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1234}}
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := r.l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	closed := make(chan struct{})
	go func() {
		var b [1]byte
		client.Read(b[:])
		close(closed)
	}()
	select {
	case c := <-accepted:
		return c, client
	case <-closed:
		close(r.in.conns) // ends the Accept that waits for another
		<-accepted
		r.in.conns = make(chan net.Conn, 1)
		return nil, client
	}
}

func open(r *rig) [2]int {
	all, unproven := r.l.Open()
	return [2]int{all, unproven}
}

func TestTotalAndPerAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, connlimit.Config{Total: 3, PerAddress: 2})
	a, _ := r.dial("192.0.2.1")
	require.NotNil(t, a)
	require.NotNil(t, first(r.dial("192.0.2.1")))
	require.Nil(t, first(r.dial("192.0.2.1")), "the third of one client")
	require.NotNil(t, first(r.dial("192.0.2.2")))
	require.Nil(t, first(r.dial("192.0.2.3")), "the fourth of all")
	require.NoError(t, a.Close())
	require.NoError(t, a.Close(), "a second close frees nothing more")
	require.NotNil(t, first(r.dial("192.0.2.3")))
	require.Equal(t, [2]int{3, 0}, open(r))
	require.Equal(t, 1, strings.Count(r.logs.String(), "limit of open connections"), "one line a minute")
	r.now = r.now.Add(2 * time.Minute)
	require.Nil(t, first(r.dial("192.0.2.3")))
	require.Contains(t, r.logs.String(), "closed=2", "which counts what was closed since")
}

func first(a, _ net.Conn) net.Conn { return a }

func TestLoopbackIsFreeOfTheAddressLimitOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, connlimit.Config{Total: 3, PerAddress: 1, FreeLoopback: true})
	for range 3 {
		require.NotNil(t, first(r.dial("127.0.0.1")))
	}
	require.Nil(t, first(r.dial("127.0.0.1")))
}

func TestStrangersReplaceOneAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, connlimit.Config{Total: 100, Unproven: 3, UnprovenPerAddress: 2})
	member, _ := r.dial("192.0.2.1")
	connlimit.Prove(member.RemoteAddr())
	require.Equal(t, [2]int{1, 0}, open(r))
	oldest, _ := r.dial("192.0.2.1")
	second, _ := r.dial("192.0.2.1")
	third, _ := r.dial("192.0.2.1")
	require.NotNil(t, third, "a newcomer always gets in")
	requireClosed(t, oldest, "and the oldest stranger of its address makes room")
	other, _ := r.dial("192.0.2.2")
	require.NotNil(t, first(r.dial("192.0.2.3")))
	requireClosed(t, second, "the oldest stranger of all")
	require.Equal(t, [2]int{4, 3}, open(r))
	require.NoError(t, other.Close())
	require.Equal(t, [2]int{3, 2}, open(r))
	connlimit.Drop(member.RemoteAddr())
	requireClosed(t, member, "dropped")
	require.Equal(t, [2]int{2, 2}, open(r))
	connlimit.Prove(&net.TCPAddr{}) // not an address of this listener
	connlimit.Drop(&net.TCPAddr{})
}

func requireClosed(t *testing.T, c net.Conn, what string) {
	t.Helper()
	_, err := c.Write([]byte{1})
	require.Error(t, err, what)
}

func TestClient(t *testing.T) {
	t.Parallel()
	for give, want := range map[string]string{
		"192.0.2.7":          "192.0.2.7",
		"::ffff:192.0.2.7":   "192.0.2.7",
		"2001:db8:1:2:3::4":  "2001:db8:1:2::",
		"2001:db8:1:2:ff::1": "2001:db8:1:2::",
		"fe80::1%eth0":       "fe80::",
	} {
		require.Equal(t, want, connlimit.Client(netip.MustParseAddr(give)).String(), give)
	}
	require.False(t, connlimit.ClientOf(nil).IsValid())
	require.False(t, connlimit.ClientOf(&net.UnixAddr{Name: "x"}).IsValid())
	require.Equal(t, "192.0.2.7", connlimit.ClientOf(&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 3}).String())
}
