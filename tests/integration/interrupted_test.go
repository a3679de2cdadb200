package integration

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
	"github.com/ringstore/ringstore/tests/cluster"
)

const mib = 1 << 20

// quick shortens the heartbeat interval and what depends on it.
var quick = []string{"--heartbeat", "300ms"}

func begin(t *testing.T, api *client.Client, name string, size int64) rest.Session {
	t.Helper()
	s, err := api.CreateSession(t.Context(), rest.NewSession{Bucket: "default", Name: name, Size: &size})
	require.NoError(t, err)
	return s
}

func putPart(t *testing.T, api *client.Client, s rest.Session, number int, body []byte) {
	t.Helper()
	p, err := api.PutPart(t.Context(), client.PartUpload{Session: s.SessionID, Number: number, Size: int64(len(body)), Body: bytes.NewReader(body)})
	require.NoError(t, err)
	require.Equal(t, crcOf(body), p.CRC64NVME)
}

func crcOf(b []byte) string { return checksum.Encode(crc64nvme.Checksum(b)) }

func complete(t *testing.T, api *client.Client, s rest.Session, whole []byte) {
	t.Helper()
	size := int64(len(whole))
	f, err := api.CompleteSession(t.Context(), s.SessionID, rest.CompleteSession{Size: &size, Checksums: rest.PartsChecksum{CRC64NVME: crcOf(whole)}})
	require.NoError(t, err)
	require.Equal(t, s.SessionID, f.FileID)
	same(t, api, f.FileID, whole)
}

func same(t *testing.T, api *client.Client, id string, want []byte) {
	t.Helper()
	body, err := api.Download(t.Context(), rest.File{FileID: id, Size: int64(len(want))}, nil)
	require.NoError(t, err)
	defer body.Close()
	got, err := io.ReadAll(body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the bytes differ")
}

// chunks counts the chunks on all nodes, as of their last heartbeats.
func chunks(t *testing.T, c *cluster.Cluster) (n int64) {
	t.Helper()
	var list rest.NodeList
	require.NoError(t, c.Get(t.Context(), "/nodes", &list))
	for _, node := range list.Nodes {
		n += node.Capacity.Chunks
	}
	return n
}

// breaksOff returns some bytes and then cancels the request, as a client that disconnects does.
type breaksOff struct {
	data   io.Reader
	cancel context.CancelFunc
}

func (b *breaksOff) Read(p []byte) (int, error) {
	n, err := b.data.Read(p)
	if err != nil {
		b.cancel()
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// A client that disconnects during a part leaves the earlier parts and nothing of that one; one that disconnects
// during an upload in one request leaves nothing.
func TestInterruptedUpload_ClientDisconnect(t *testing.T) {
	t.Parallel()
	c, api := start(t, cluster.Options{Gateway: quick})
	whole := noise(20 * mib)
	s := begin(t, api, "resumed", int64(len(whole)))
	putPart(t, api, s, 1, whole[:8*mib])
	eventually(t, "the chunks of the part show at the nodes", func() bool { return chunks(t, c) == 10 })

	ctx, cancel := context.WithCancel(t.Context())
	_, err := api.PutPart(ctx, client.PartUpload{Session: s.SessionID, Number: 2, Size: 12 * mib, Body: &breaksOff{bytes.NewReader(whole[8*mib : 15*mib]), cancel}})
	require.Error(t, err)
	ctx, cancel = context.WithCancel(t.Context())
	_, err = api.Upload(ctx, client.Upload{Bucket: "default", Name: "whole", ContentType: "text/plain", Size: 12 * mib, Body: &breaksOff{bytes.NewReader(whole[:7*mib]), cancel}})
	require.Error(t, err)

	seen, err := api.Session(t.Context(), s.SessionID)
	require.NoError(t, err)
	require.Len(t, seen.Parts, 1)
	require.EqualValues(t, 8*mib, seen.Received)
	_, err = api.Latest(t.Context(), "default", "whole")
	require.Equal(t, fault.NotFound, fault.ExitOf(err))

	putPart(t, api, s, 2, whole[8*mib:])
	complete(t, api, s, whole)
	const logged = 3 // copies of the first segment of the metadata log, which has the file that was completed
	eventually(t, "the nodes hold the file's two parts, what is logged of it, and nothing else", func() bool { return chunks(t, c) == 20+logged })
}

// A node that is killed during a part has no effect; a gateway that is killed costs the part in progress, which the
// client sends again once the gateway is back.
func TestInterruptedUpload_ServerCrash(t *testing.T) {
	t.Parallel()
	c, api := start(t, cluster.Options{Gateway: quick})
	whole := noise(24 * mib)
	s := begin(t, api, "crash", int64(len(whole)))
	putPart(t, api, s, 1, whole[:8*mib])

	// The body kills the node half way through.
	half := func(part []byte, kill func()) io.Reader {
		return io.MultiReader(bytes.NewReader(part[:len(part)/2]), readerFunc(func([]byte) (int, error) { kill(); return 0, io.EOF }), bytes.NewReader(part[len(part)/2:]))
	}
	part := whole[8*mib : 16*mib]
	p, err := api.PutPart(t.Context(), client.PartUpload{Session: s.SessionID, Number: 2, Size: int64(len(part)), Body: half(part, func() {
		require.NoError(t, c.Nodes[3].Kill())
	})})
	require.NoError(t, err, "five of six nodes are enough")
	require.Equal(t, crcOf(part), p.CRC64NVME)

	part = whole[16*mib:]
	_, err = api.PutPart(t.Context(), client.PartUpload{Session: s.SessionID, Number: 3, Size: int64(len(part)), Body: half(part, func() {
		require.NoError(t, c.Gateway.Kill())
	})})
	require.Equal(t, fault.Unavailable, fault.ExitOf(err), "%v", err)
	require.NoError(t, c.Gateway.Start())
	eventually(t, "the gateway answers again, and sees the node that is gone", func() bool {
		online, err := c.Online(t.Context())
		return err == nil && online == 5
	})
	seen, err := api.Session(t.Context(), s.SessionID)
	require.NoError(t, err)
	require.Len(t, seen.Parts, 2, "what was acknowledged is there")
	putPart(t, api, s, 3, part)
	complete(t, api, s, whole)
	require.NoError(t, c.Nodes[3].Start())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A node that hangs, as when the network drops all packets, is abandoned after the stall timeout, and the part is
// acknowledged without it.
func TestInterruptedUpload_NetworkTimeout(t *testing.T) {
	t.Parallel()
	c, api := start(t, cluster.Options{Gateway: quick})
	whole := noise(24 * mib)
	s := begin(t, api, "hang", int64(len(whole)))
	require.NoError(t, c.Nodes[1].Pause())
	putPart(t, api, s, 1, whole[:16*mib])
	require.NoError(t, c.Nodes[1].Resume())
	putPart(t, api, s, 2, whole[16*mib:])
	complete(t, api, s, whole)
	eventually(t, "the chunks that the node missed are made again", func() bool {
		var m rest.FileMetadata
		require.NoError(t, c.Get(t.Context(), "/files/"+s.SessionID+"/metadata", &m))
		return m.Survives >= 2
	})
}

// A session without activity is removed with its parts when it expires.
func TestCleanupJob_ExpiredSessions(t *testing.T) {
	t.Parallel()
	c, api := start(t, cluster.Options{Standalone: true, Gateway: append([]string{"--session-ttl", "3s"}, quick...)})
	s := begin(t, api, "forgotten", 8*mib)
	putPart(t, api, s, 1, noise(4*mib))
	eventually(t, "the chunks of the part show at the nodes", func() bool { return chunks(t, c) == 10 })
	eventually(t, "the session has expired", func() bool {
		_, err := api.Session(t.Context(), s.SessionID)
		return fault.ExitOf(err) == fault.NotFound
	})
	_, err := api.PutPart(t.Context(), client.PartUpload{Session: s.SessionID, Number: 2, Size: 5, Body: bytes.NewReader(make([]byte, 5))})
	require.Equal(t, fault.NotFound, fault.ExitOf(err))
	require.NotEmpty(t, fault.SaidOf(err))
	eventually(t, "its chunks are gone", func() bool { return chunks(t, c) == 0 })
}

// Every part extends the expiry of its session.
func TestCleanupJob_ActiveSessions(t *testing.T) {
	t.Parallel()
	_, api := start(t, cluster.Options{Standalone: true, Gateway: append([]string{"--session-ttl", "4s"}, quick...)})
	whole := noise(12 * mib)
	idle := begin(t, api, "idle", 1)
	s := begin(t, api, "active", int64(len(whole)))
	for i := range 12 {
		putPart(t, api, s, i+1, whole[i*mib:(i+1)*mib])
		if i == 5 { // the other session has expired by now, this one was extended by each part
			eventually(t, "the idle session has expired", func() bool {
				if _, err := api.PutPart(t.Context(), client.PartUpload{Session: s.SessionID, Number: i + 1, Size: mib, Body: bytes.NewReader(whole[i*mib : (i+1)*mib])}); err != nil {
					t.Fatal(err)
				}
				_, err := api.Session(t.Context(), idle.SessionID)
				return fault.ExitOf(err) == fault.NotFound
			})
		}
	}
	complete(t, api, s, whole)
}
