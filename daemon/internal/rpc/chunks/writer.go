package chunks

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// putStream and getStream are the descriptions of the two streaming calls.
var (
	putStream = &grpc.StreamDesc{StreamName: "PutChunk", ClientStreams: true}
	getStream = &grpc.StreamDesc{StreamName: "GetChunk", ServerStreams: true}
)

// Create implements chunk.WriterOpener. It makes no call: the spec is sent with the
// first unit, whose Append or a later step then returns the node's error.
func (c *Client) Create(ctx context.Context, spec chunk.Spec) (chunk.Writer, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &writer{client: c, ctx: ctx, cancel: cancel, spec: spec, lending: new(lending)}, nil
}

// writer is a chunk.Writer over a stream. Its fields belong to the writing goroutine,
// except those that Abort uses, which any goroutine may call.
type writer struct {
	client  *Client
	ctx     context.Context
	cancel  context.CancelCauseFunc
	spec    chunk.Spec
	size    int64 // bytes sent so far
	failed  error // of an earlier step: sticky
	lending *lending

	mu      sync.Mutex // guards the fields below
	stream  *stream    // nil before the first unit and after the end, so that it does not keep gRPC's buffers alive
	release func()     // see openStream
	ended   bool       // by Commit or Abort
}

var errEnded = store.Errorf(store.Canceled, "the write has already ended")

// Append implements chunk.Writer. It blocks while the node is behind by more than Window.
func (w *writer) Append(u chunk.Unit) error {
	f := &frame{unit: u, lending: w.lending}
	if w.failed == nil {
		w.failed = w.append(f)
	}
	if !f.taken {
		u.Release()
	}
	return w.failed
}

func (w *writer) append(f *frame) error {
	if err := w.spec.CheckUnit(f.unit, w.size); err != nil {
		return err
	}
	w.size += int64(len(f.unit.Data))
	s := w.current()
	if s == nil {
		var err error
		if s, err = w.open(); err != nil {
			return err
		}
		f.spec = specToWire(w.spec)
	}
	return w.send(s, f)
}

// current is the stream, or nil before the first unit and after the end.
func (w *writer) current() *stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream
}

func (w *writer) open() (*stream, error) {
	s, release, err := w.client.openStream(w.ctx, putStream, storagev1.StorageService_PutChunk_FullMethodName)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended { // by a concurrent Abort
		release()
		return nil, errEnded
	}
	w.stream, w.release = s, release
	return s, nil
}

// send sends a frame. If the node has answered already, its answer is the error.
func (w *writer) send(s *stream, f *frame) error {
	err := s.SendMsg(f)
	if !errors.Is(err, io.EOF) {
		return s.wrong(err)
	}
	if err := s.RecvMsg(new(storagev1.PutChunkResponse)); err != nil {
		return s.wrong(err)
	}
	return store.Errorf(store.Internal, "the node answered before the chunk was complete").WithItem(w.spec.ID)
}

// Commit implements chunk.Writer. The node's answer means that the chunk is durable.
func (w *writer) Commit(label chunk.Label) (chunk.Info, error) {
	defer w.end(errEnded)
	info, err := w.commit(label)
	if w.failed == nil {
		w.failed = errEnded
	}
	return info, err
}

func (w *writer) commit(label chunk.Label) (info chunk.Info, err error) {
	s := w.current()
	switch {
	case w.failed != nil:
		return info, w.failed
	case w.ctx.Err() != nil:
		return info, rpc.EndOf(w.ctx, codes.OK)
	case s == nil:
		return info, store.Errorf(store.Invalid, "a chunk without units").WithItem(w.spec.ID)
	}
	if err := w.send(s, &frame{label: labelToWire(label)}); err != nil {
		return info, err
	}
	if err := s.CloseSend(); err != nil {
		return info, s.wrong(err)
	}
	resp := new(storagev1.PutChunkResponse)
	if err := s.RecvMsg(resp); err != nil {
		return info, s.wrong(err)
	}
	return infoFromWire(resp.GetInfo())
}

// Abort implements chunk.Writer.
func (w *writer) Abort() { w.end(errEnded) }

// end cancels the stream, which has no effect on a finished one, and releases it once. Units
// that the transport still holds are abandoned.
func (w *writer) end(cause error) {
	w.cancel(cause)
	w.mu.Lock()
	release := w.release
	w.ended, w.stream, w.release = true, nil, nil
	w.mu.Unlock()
	if release != nil {
		release()
	}
	w.lending.end()
}
