package chunks

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// Open implements chunk.ReaderOpener. It sends the request and does not wait for the
// node, which begins to send at once: up to Window bytes arrive ahead of Next.
func (c *Client) Open(ctx context.Context, id store.ChunkID, first, count int) (chunk.Reader, error) {
	req := &storagev1.GetChunkRequest{ChunkId: id.String(), FirstUnit: int64(first)}
	if count >= 0 {
		n := int64(count)
		req.UnitCount = &n
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s, release, err := c.openStream(ctx, getStream, storagev1.StorageService_GetChunk_FullMethodName)
	if err != nil {
		cancel(err)
		return nil, err
	}
	r := &reader{stream: s, id: id, cancel: cancel, release: sync.OnceFunc(release)}
	err = s.SendMsg(req)
	if err == nil {
		err = s.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // after EOF, Next returns the node's answer
		r.end(errClosed)
		return nil, s.wrong(err)
	}
	return r, nil
}

// reader is a chunk.Reader over a stream. Its fields belong to the
// goroutine that reads; Close, which any goroutine may call, only cancels.
type reader struct {
	stream  *stream
	id      store.ChunkID
	cancel  context.CancelCauseFunc
	release func() // see openStream; may be called more than once
	over    error  // io.EOF, or the error that ended it early: sticky
}

var errClosed = store.Errorf(store.Canceled, "the reader was closed")

// Next implements chunk.Reader. The node compared the unit's checksum with the stored
// bytes; here it is compared with the received ones.
func (r *reader) Next() (chunk.Unit, error) {
	if r.over != nil {
		return chunk.Unit{}, r.over
	}
	u, err := r.receive()
	if err != nil {
		r.over = err
		r.end(errClosed)
	}
	return u, err
}

func (r *reader) receive() (chunk.Unit, error) {
	if err := rpc.EndOf(r.stream.ctx, codes.OK); err != nil {
		return chunk.Unit{}, err // units received before the end of the context are not returned
	}
	var f frame
	err := r.stream.RecvMsg(&f)
	if errors.Is(err, io.EOF) {
		return chunk.Unit{}, io.EOF
	}
	if err != nil {
		return chunk.Unit{}, r.stream.wrong(err)
	}
	if len(f.unit.Data) == 0 {
		return chunk.Unit{}, store.Errorf(store.Internal, "node %s sent a message without a unit", r.stream.client.peer.Address).WithItem(r.id)
	}
	if err := f.unit.Check(); err != nil {
		f.unit.Release()
		return chunk.Unit{}, store.Errorf(store.Corrupt, "received from node %s: %w", r.stream.client.peer.Address, err).WithItem(r.id)
	}
	return f.unit, nil
}

// Close implements chunk.Reader.
func (r *reader) Close() error {
	r.end(errClosed)
	return nil
}

func (r *reader) end(cause error) {
	r.cancel(cause)
	r.release()
}
