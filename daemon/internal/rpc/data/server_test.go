package data_test

import (
	"bytes"
	"context"
	"io"
	"net"
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

// served is a node whose data port is spoken to by hand.
type served struct {
	address string
	node    store.NodeID
	chunks  *watched
}

// watched counts the calls that reach a store.
type watched struct {
	chunk.Store
	calls chan string // one for each call; nil: not wanted
}

func (w *watched) called(what string) {
	if w.calls != nil {
		w.calls <- what
	}
}

func (w *watched) Open(ctx context.Context, id store.ChunkID, first, count int) (chunk.Reader, error) {
	w.called("open")
	return w.Store.Open(ctx, id, first, count)
}

func (w *watched) Create(ctx context.Context, spec chunk.Spec) (chunk.Writer, error) {
	w.called("create")
	return w.Store.Create(ctx, spec)
}

// serve starts a node; limit is the time limit of everything at its data port.
func serve(t testing.TB, limit time.Duration) served {
	t.Helper()
	s := newServed()
	return s.start(t, data.NewHastyServer(data.ServerConfig{Chunks: s.chunks, Node: s.node, JoinToken: joinToken, Log: rpctest.Quiet()}, limit))
}

// serveGRPC starts a node without a data port.
func serveGRPC(t testing.TB, _ time.Duration) served {
	t.Helper()
	return newServed().start(t, nil)
}

func newServed() served {
	return served{node: store.NewNodeID(), chunks: &watched{mem.NewChunks(), make(chan string, 100)}}
}

func (s served) start(t testing.TB, beside rpc.Port) served {
	t.Helper()
	l := rpctest.Listen(t)
	s.address = l.Addr().String()
	rpctest.Serve(t, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{JoinToken: joinToken, Log: rpctest.Quiet()}, Chunks: s.chunks, Node: s.node, Beside: beside,
	}), l)
	return s
}

// spoken is a connection to a data port.
type spoken struct {
	net.Conn
	t     testing.TB
	nonce []byte
	time  int64 // of the node
}

// speak connects and reads the greeting.
func (s served) speak(t testing.TB) spoken {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(rpctest.Patience)))
	_, err = io.WriteString(conn, data.Magic)
	require.NoError(t, err)
	b := make([]byte, data.GreetingSize)
	_, err = io.ReadFull(conn, b)
	require.NoError(t, err)
	require.Equal(t, data.Magic, string(b[:len(data.Magic)]))
	c := spoken{Conn: conn, t: t, nonce: b[len(data.Magic):][:data.NonceSize]}
	for i := range 8 {
		c.time |= int64(b[len(data.Magic)+data.NonceSize+i]) << (8 * i)
	}
	return c
}

func (c spoken) send(b ...[]byte) {
	c.t.Helper()
	_, err := c.Write(bytes.Join(b, nil))
	require.NoError(c.t, err)
}

// answer reads one answer.
func (c spoken) answer() (kind byte, number uint32, body []byte) {
	c.t.Helper()
	b := make([]byte, data.AnswerSize)
	_, err := io.ReadFull(c, b)
	require.NoError(c.t, err)
	body = make([]byte, uint32(b[8])|uint32(b[9])<<8|uint32(b[10])<<16|uint32(b[11])<<24)
	_, err = io.ReadFull(c, body)
	require.NoError(c.t, err)
	return b[0], uint32(b[4]), body
}

// refused reads an error and the end of the connection.
func (c spoken) refused(kind store.Kind, text string) {
	c.t.Helper()
	got, _, body := c.answer()
	require.Equal(c.t, data.AnswerFailed, got)
	err := rpc.Peer{}.Error(context.Background(), data.Failure(body))
	require.Equal(c.t, kind, store.KindOf(err), err)
	require.ErrorContains(c.t, err, text)
	c.ended()
}

func (c spoken) ended() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 1))
	require.Zero(c.t, n)
	require.Error(c.t, err)
	require.NotErrorIs(c.t, err, context.DeadlineExceeded)
}

func chunkID() store.ChunkID { return store.ChunkID{Part: store.NewPartID(), Index: 1} }

// get is a request for all of a chunk.
func (c spoken) get(s served) data.Request {
	return data.Request{Op: data.Get, Chunk: chunkID(), Node: s.node, Count: 1, Time: c.time}
}

func (c spoken) put(s served, unit []byte) data.Request {
	return data.Request{Op: data.Put, Number: 7, Chunk: chunkID(), Node: s.node, Unit: 4096, Count: uint64(len(unit)), CRC: chunk.CRC32C(unit), Time: c.time}
}

func TestServer_AsksForAProof(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what   string
		encode func(c spoken, r data.Request) []byte
	}{
		{"without", func(c spoken, r data.Request) []byte { return r.Encode("", c.nonce) }},
		{"of another token", func(c spoken, r data.Request) []byte { return r.Encode("sailfish", c.nonce) }},
		{"of another connection", func(c spoken, r data.Request) []byte { return r.Encode(joinToken, make([]byte, data.NonceSize)) }},
		{"an old one", func(c spoken, r data.Request) []byte {
			r.Time -= data.MaxAge + 60
			return r.Encode(joinToken, c.nonce)
		}},
		{"a future one", func(c spoken, r data.Request) []byte {
			r.Time += data.MaxAge + 60
			return r.Encode(joinToken, c.nonce)
		}},
		{"of another chunk", func(c spoken, r data.Request) []byte {
			b := r.Encode(joinToken, c.nonce)
			b[8] ^= 1
			return b
		}},
		{"of another range", func(c spoken, r data.Request) []byte {
			b := r.Encode(joinToken, c.nonce)
			b[64]++
			return b
		}},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, rpctest.Patience)
			c := s.speak(t)
			c.send(test.encode(c, c.get(s)))
			c.refused(store.Denied, "no proof of this cluster")
			require.Empty(t, s.chunks.calls)
		})
	}
}

func TestServer_RefusesBeforeItReads(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what   string
		change func(r *data.Request)
		kind   store.Kind
		text   string
	}{
		{"an unknown request", func(r *data.Request) { r.Op = 9 }, store.Invalid, "has no request 9"},
		{"for another node", func(r *data.Request) { r.Node = store.NewNodeID() }, store.Unavailable, "this is node"},
		{"without a part", func(r *data.Request) { r.Chunk.Part = store.PartID{} }, store.Invalid, "no part id"},
		{"an index too large", func(r *data.Request) { r.Chunk.Index = store.MaxChunksPerPart }, store.Invalid, "chunk index"},
		{"a unit of nothing", func(r *data.Request) { r.Count = 0 }, store.Invalid, "unit of 0 bytes"},
		{"a unit longer than units are", func(r *data.Request) { r.Count = 4097 }, store.Invalid, "unit of 4097 bytes"},
		{"a unit of any length", func(r *data.Request) { r.Count = 1 << 63 }, store.Invalid, "is not within 1..4096"},
		{"units too long", func(r *data.Request) { r.Unit = chunk.MaxUnitSize + 1 }, store.Invalid, "unit size"},
		{"a label too long", func(r *data.Request) { r.Label = 1 << 20 }, store.Invalid, "label of 1048576 bytes"},
		{"a stream of units too long", func(r *data.Request) { r.Op, r.Unit = data.Stream, 1<<31 }, store.Invalid, "unit size"},
		{"a stream of unit size 0", func(r *data.Request) { r.Op, r.Unit = data.Stream, 0 }, store.Invalid, "unit size"},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, rpctest.Patience)
			c := s.speak(t)
			r := c.put(s, []byte("unit"))
			test.change(&r)
			c.send(r.Encode(joinToken, c.nonce))
			c.refused(test.kind, test.text)
			require.Empty(t, s.chunks.calls)
		})
	}
}

func TestServer_StreamsHaveUnitsOfTheirSize(t *testing.T) {
	t.Parallel()
	for what, unit := range map[string][]byte{
		"too long":              {1, 16, 0, 0, 0, 0, 0, 0}, // 4097
		"as long as it gets":    {255, 255, 255, 255, 0, 0, 0, 0},
		"a label that is large": {0, 0, 0, 0, 255, 255, 255, 255},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, rpctest.Patience)
			c := s.speak(t)
			r := c.put(s, nil)
			r.Op = data.Stream
			c.send(r.Encode(joinToken, c.nonce), unit)
			c.refused(store.Invalid, "bytes")
			requireAbsent(t, s, r.Chunk)
		})
	}
}

func requireAbsent(t testing.TB, s served, id store.ChunkID) {
	t.Helper()
	_, err := s.chunks.Stat(t.Context(), id)
	require.ErrorIs(t, err, store.NotFound)
}

func TestServer_EndsSlowConnections(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	for what, send := range map[string]func(s served, c spoken){
		"that ask for nothing":     func(served, spoken) {},
		"that send half of a head": func(s served, c spoken) { c.send(c.get(s).Encode(joinToken, c.nonce)[:50]) },
		"that send half of a unit": func(s served, c spoken) {
			c.send(c.put(s, make([]byte, 100)).Encode(joinToken, c.nonce), make([]byte, 50))
		},
		"that send half of a streamed one": func(s served, c spoken) {
			r := c.put(s, nil)
			r.Op = data.Stream
			c.send(r.Encode(joinToken, c.nonce), []byte{100, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 50))
		},
		"that do not end a stream": func(s served, c spoken) {
			r := c.put(s, nil)
			r.Op = data.Stream
			c.send(r.Encode(joinToken, c.nonce))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, limit)
			c := s.speak(t)
			send(s, c)
			c.ended()
		})
	}
}

func TestServer_WaitsForTheNextRequestOfAProvenClient(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Millisecond
	s := serve(t, limit)
	c := s.speak(t)
	for range 3 {
		c.send(c.get(s).Encode(joinToken, c.nonce))
		kind, _, _ := c.answer()
		require.Equal(t, data.AnswerFailed, kind) // there is no such chunk
		timer := time.NewTimer(3 * limit)
		<-timer.C
	}
}

func TestServer_KeepsNothingOfAWriteThatBreaks(t *testing.T) {
	t.Parallel()
	for what, send := range map[string]func(s served, c spoken) store.ChunkID{
		"in a put": func(s served, c spoken) store.ChunkID {
			r := c.put(s, make([]byte, 100))
			c.send(r.Encode(joinToken, c.nonce), make([]byte, 99))
			return r.Chunk
		},
		"before a stream's label": func(s served, c spoken) store.ChunkID {
			r, unit := c.put(s, nil), []byte("unit")
			r.Op = data.Stream
			c.send(r.Encode(joinToken, c.nonce), []byte{4, 0, 0, 0}, crcOf(unit), unit)
			return r.Chunk
		},
		"in a stream's label": func(s served, c spoken) store.ChunkID {
			r, unit := c.put(s, nil), []byte("unit")
			r.Op = data.Stream
			c.send(r.Encode(joinToken, c.nonce), []byte{4, 0, 0, 0}, crcOf(unit), unit, []byte{0, 0, 0, 0, 9, 0, 0, 0, 1, 2})
			return r.Chunk
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := serve(t, rpctest.Patience)
			c := s.speak(t)
			id := send(s, c)
			require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
			c.ended() // the node is done with it
			requireAbsent(t, s, id)
		})
	}
}

func crcOf(unit []byte) []byte {
	crc := chunk.CRC32C(unit)
	return []byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)}
}

func TestServer_AnswersPutsByNumber(t *testing.T) {
	t.Parallel()
	s := serve(t, rpctest.Patience)
	c := s.speak(t)
	unit, label := []byte("unit"), data.Label(chunk.Label{File: store.NewFileID(), Bucket: "b", Key: "k"})
	var all []byte
	for n := range 5 {
		r := c.put(s, unit)
		r.Number, r.Label = uint32(n+1), uint32(len(label))
		if n == 3 {
			r.CRC++ // damaged on the way
		}
		all = append(append(append(all, r.Encode(joinToken, c.nonce)...), label...), unit...)
	}
	c.send(all)
	kinds := map[uint32]byte{}
	for range 5 {
		kind, number, _ := c.answer()
		kinds[number] = kind
	}
	require.Equal(t, map[uint32]byte{1: data.AnswerStored, 2: data.AnswerStored, 3: data.AnswerStored, 4: data.AnswerFailed, 5: data.AnswerStored}, kinds)
}

// A node that was paused finds a put and its cancel together, and stores nothing.
func TestServer_StoresNothingThatWasCancelledBeforeItWasRead(t *testing.T) {
	t.Parallel()
	s := serve(t, rpctest.Patience)
	c := s.speak(t)
	unit := []byte("unit")
	kept, gone := c.put(s, unit), c.put(s, unit)
	kept.Number, gone.Number = 1, 2
	cancel := gone
	cancel.Op, cancel.Count, cancel.CRC = data.Cancel, 0, 0
	encode := func(r data.Request) []byte { return r.Encode(joinToken, c.nonce) }
	c.send(encode(gone), unit, encode(kept), unit, encode(cancel))
	kinds := map[uint32]byte{}
	for range 2 {
		kind, number, _ := c.answer()
		kinds[number] = kind
	}
	require.Equal(t, map[uint32]byte{1: data.AnswerStored, 2: data.AnswerFailed}, kinds)
	requireAbsent(t, s, gone.Chunk)
}

func FuzzServer(f *testing.F) {
	var r data.Request
	nonce := make([]byte, data.NonceSize)
	r = data.Request{Op: data.Get, Chunk: chunkID(), Count: 1}
	f.Add(r.Encode("", nonce))
	r = data.Request{Op: data.Put, Chunk: chunkID(), Unit: 8, Count: 8}
	f.Add(append(r.Encode("", nonce), "12345678"...))
	r.Op = data.Stream
	f.Add(append(r.Encode("", nonce), "\x04\x00\x00\x00\x00\x00\x00\x00unit\x00\x00\x00\x00\x00\x00\x00\x00"...))
	r.Op = data.Cancel
	f.Add(r.Encode("", nonce))
	l := rpctest.Listen(f)
	rpctest.Serve(f, chunks.NewServer(chunks.ServerConfig{
		ServerConfig: rpc.ServerConfig{Log: rpctest.Quiet()}, Chunks: mem.NewChunks(),
		Beside: data.NewServer(data.ServerConfig{Chunks: mem.NewChunks(), Log: rpctest.Quiet()}),
	}), l)
	s := served{address: l.Addr().String()}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := s.speak(t)
		_, _ = c.Write(b)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c) // it ends
	})
}
