package chunkfs

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// health remembers what the disk can do.
//
// Final, until the store is opened again: a write or a sync failed, so that what
// is on the disk is in doubt. A full disk is never final, and neither is a file
// system that refused a change because it is read-only: both are tried again
// before the next write (Store.probe). Reading is never affected.
type health struct {
	log      *slog.Logger
	troubled atomic.Bool // bad or blocked is set

	mu      sync.Mutex // guards the fields below
	bad     error      // final
	blocked error      // may pass
	disk    store.Disk // in the words of the heartbeat
}

// check is nil while the disk is not in doubt.
func (h *health) check() error {
	if !h.troubled.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad
}

// state tells what the disk can do.
func (h *health) state() store.Disk {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disk
}

// takesNothing reports whether not even a change that needs no space is possible.
func (h *health) takesNothing() bool {
	state := h.state().State
	return state == store.DiskReadOnly || state == store.DiskFailing
}

// failures are the errors of a disk that does not work.
var failures = []syscall.Errno{
	syscall.EIO, syscall.ENXIO, syscall.ENODEV, syscall.EUCLEAN, syscall.EBADMSG, syscall.EREMOTEIO, syscall.ENOMEDIUM, syscall.ESHUTDOWN,
}

// judge is called with the error of a change that left nothing in doubt. It tells
// a full disk and other troubles that pass from a disk that fails.
func (h *health) judge(id store.ChunkID, err error) error {
	if isFull(err) {
		return h.full(id, err)
	}
	if errors.Is(err, syscall.EROFS) {
		return h.block(store.DiskReadOnly, readOnlyError(err))
	}
	if isFailure(err) {
		return h.fail(err)
	}
	return (&store.Error{Op: "chunkfs.write", Kind: store.Unavailable, Item: id.String(), Err: err}).
		WithHint("Look at the message for the cause; nothing was stored, and a later attempt may succeed.")
}

// full notes that the disk, or a quota on it, has no space left.
func (h *health) full(id store.ChunkID, err error) error {
	e := translate("write", id, err)
	_ = h.block(store.DiskFull, e)
	return e
}

// block stops writes until a probe succeeds.
func (h *health) block(state store.DiskState, cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bad != nil {
		return h.bad
	}
	if h.blocked == nil || h.disk.State != state {
		h.log.Warn("no new chunks are taken until the disk can be written again", "state", state.String(), "cause", cause)
	}
	h.blocked, h.disk = cause, store.Disk{State: state, Reason: cause.Error()}
	h.troubled.Store(true)
	return cause
}

// passed takes block back.
func (h *health) passed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blocked == nil || h.bad != nil {
		return
	}
	h.log.Info("the disk can be written again", "state before", h.disk.State.String())
	h.blocked, h.disk = nil, store.Disk{}
	h.troubled.Store(false)
}

// fail notes the first failure that leaves the disk in doubt, and returns what
// callers are told from now on.
func (h *health) fail(cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bad == nil {
		h.bad = diskBad(cause)
		h.disk = store.Disk{State: store.DiskFailing, Reason: h.bad.Error()}
		if errors.Is(cause, syscall.EROFS) {
			h.disk.State = store.DiskReadOnly
		}
		h.troubled.Store(true)
		h.log.Error("the disk failed; the chunk store is read-only from now on", "cause", cause)
	}
	return h.bad
}
