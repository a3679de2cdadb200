package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// ErrClosed is returned by every call after the store was closed.
var ErrClosed error = store.Errorf(store.Unavailable, "the chunk store is closed")

// IsFull reports whether the disk, or a quota on it, has no space left.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, store.NoSpace)
}

// Passes reports an error that says nothing about the disk: the process or the
// machine has run out of a resource for the moment.
func Passes(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EAGAIN, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isFailure reports an error of a disk that does not work.
func isFailure(err error) bool {
	for _, e := range failures {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Translate turns the error of a file system into a *store.Error.
func Translate(op string, id store.ChunkID, err error) error {
	out, done := classify(op, id, err)
	if done != nil || err == nil {
		return done
	}
	switch {
	case IsFull(err):
		out.Kind = store.NoSpace
		return out.WithHint("Free space on the node's disk, or add nodes.")
	case errors.Is(err, syscall.EROFS):
		return ReadOnly(err)
	case isFailure(err), Passes(err):
		out.Kind = store.Unavailable
		return out.WithHint("The message names the cause; check the kernel's log for errors of this disk.")
	}
	return out
}

// ReadFailed is Translate for an error of reading a chunk: bytes that the disk cannot
// return are lost on this node, whatever the cause, so the chunk has to be repaired elsewhere.
func ReadFailed(op string, id store.ChunkID, err error) error {
	out, done := classify(op, id, err)
	switch {
	case done != nil || err == nil:
		return done
	case Passes(err):
		out.Kind = store.Unavailable
		return out.WithHint("The message names the cause; a later attempt may succeed.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		out.Kind, out.Msg, out.Err = store.Corrupt, "truncated: it is shorter than when it was written", nil
		return out
	}
	out.Kind, out.Msg = store.Corrupt, "the disk cannot read it"
	return out.WithHint("Check the kernel's log for errors of this disk.")
}

// classify handles what reading and writing have in common: done, where set, is the final
// error; otherwise out is an error whose kind the caller decides.
func classify(op string, id store.ChunkID, err error) (out *store.Error, done error) {
	if err == nil {
		return nil, nil
	}
	if e, ok := errors.AsType[*store.Error](err); ok {
		if e.Kind == store.Corrupt && e.Item == "" && id != (store.ChunkID{}) {
			named := *e
			return nil, named.WithItem(id)
		}
		return nil, e
	}
	out = &store.Error{Op: "chunkfs." + op, Kind: store.Internal, Err: err}
	if id != (store.ChunkID{}) {
		out.Item = id.String()
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil, err
	case errors.Is(err, fs.ErrNotExist):
		out.Kind, out.Msg, out.Err = store.NotFound, "no such chunk", nil
		return nil, out
	case errors.Is(err, fs.ErrClosed):
		return nil, ErrClosed
	}
	return out, nil
}

// ReadOnly is the error of a change of a read-only file system.
func ReadOnly(err error) error {
	return (&store.Error{Op: "chunkfs", Kind: store.Unavailable, Msg: "the file system of the data directory is read-only", Err: err}).
		WithHint("Check the kernel's log for the reason, and mount it writable; its chunks can be read meanwhile.")
}

// OutcomeOpen is the error where a full disk prevented a write from being undone.
func OutcomeOpen(err error) error {
	return (&store.Error{Op: "chunkfs.write", Kind: store.Unavailable, Msg: "the disk is full; whether the chunk exists after a restart is unknown", Err: err}).
		WithHint("Free space on the node's disk, then store or delete the chunk again.")
}

// diskBad is the error of every change after a write or a sync failed: the content of
// the disk is unknown from then on, and a repeated sync may report success without
// having written anything.
func diskBad(err error) error {
	return (&store.Error{Op: "chunkfs", Kind: store.Unavailable, Msg: "the disk failed, the chunk store is read-only", Err: err}).
		WithHint("Check the kernel's log; restart the node when the disk works again, or remove the node so that its data is rebuilt elsewhere.")
}

// Corrupt is the error of a chunk whose bytes are not those that were written.
func Corrupt(id store.ChunkID, text string, args ...any) error {
	return store.Errorf(store.Corrupt, text, args...).WithItem(id)
}
