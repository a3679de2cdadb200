package chunkfs

import (
	"errors"
	"log/slog"
	"sync"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// health remembers whether the disk failed a write or a sync. Once it did, the
// store only reads, until it is opened anew.
type health struct {
	log *slog.Logger
	mu  sync.Mutex // guards bad
	bad error
}

// check is nil while the disk is good.
func (h *health) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad
}

// judge tells, of a call that left nothing in doubt, a full disk and other
// troubles that pass from a disk that is bad.
func (h *health) judge(id store.ChunkID, err error) error {
	for _, bad := range []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.ENXIO, syscall.ENODEV} {
		if errors.Is(err, bad) {
			return h.fail(err)
		}
	}
	e := translate("write", id, err)
	if errors.Is(e, store.NoSpace) {
		return e
	}
	return (&store.Error{Op: "chunkfs.write", Kind: store.Unavailable, Item: id.String(), Err: err}).
		WithHint("Look at the message for the cause; nothing was stored, and a later attempt may succeed.")
}

// fail takes note of the first failure and returns what callers are told from now on.
func (h *health) fail(cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bad == nil {
		h.bad = diskBad(cause)
		h.log.Error("the disk failed; the chunk store is read-only from now on", "cause", cause)
	}
	return h.bad
}
