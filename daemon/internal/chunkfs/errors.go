package chunkfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// errClosed answers every call after Close.
var errClosed error = store.Errorf(store.Unavailable, "the chunk store is closed")

// errEnded answers a writer that is used after its end, errReaderClosed a reader.
var (
	errEnded        error = store.Errorf(store.Canceled, "the write was ended before")
	errReaderClosed error = store.Errorf(store.Canceled, "the reader was closed")
)

// translate makes what a file system says into an error of the domain. It is
// the one place that looks at errnos.
func translate(op string, id store.ChunkID, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*store.Error](err); ok {
		if e.Kind == store.Corrupt && e.Item == "" && id != (store.ChunkID{}) {
			named := *e
			return named.WithItem(id)
		}
		return e
	}
	out := &store.Error{Op: "chunkfs." + op, Kind: store.Internal, Err: err}
	if id != (store.ChunkID{}) {
		out.Item = id.String()
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		out.Kind, out.Msg, out.Err = store.NotFound, "no such chunk", nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		out.Kind = store.NoSpace
		return out.WithHint("Free space on the node's disk, or add nodes.")
	case errors.Is(err, fs.ErrClosed):
		return errClosed
	case errors.Is(err, io.ErrUnexpectedEOF):
		out.Kind, out.Msg, out.Err = store.Corrupt, "cut off: it is shorter than it was", nil
	case errors.Is(err, syscall.EIO):
		out.Kind, out.Msg = store.Corrupt, "the disk cannot read it"
		return out.WithHint("Look at the kernel's log for errors of this disk.")
	}
	return out
}

// diskBad is the answer to every change after a write or a sync failed: what is
// on the disk is not known any more, and a sync that is repeated may report
// success without having written anything.
func diskBad(err error) error {
	return (&store.Error{Op: "chunkfs", Kind: store.Unavailable, Msg: "the disk failed, the chunk store is read-only", Err: err}).
		WithHint("Look at the kernel's log; restart the node when the disk is sound, or remove the node so that its data is rebuilt elsewhere.")
}

func corrupt(id store.ChunkID, format string, args ...any) error {
	return store.Errorf(store.Corrupt, format, args...).WithItem(id)
}
