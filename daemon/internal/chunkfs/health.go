package chunkfs

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// health tracks which operations the disk supports.
//
// A failed write or sync is final until the store is opened again, because the content of
// the disk is unknown. A full disk is never final, and neither is a file system that refused
// a change because it is read-only: both are probed again before the next write
// (Store.probe). Reading is never affected.
type health struct {
	log      *slog.Logger
	troubled atomic.Bool // bad or blocked is set

	mu      sync.Mutex // guards the fields below
	bad     error      // final
	blocked error      // may end
	disk    store.Disk // as reported in heartbeats
}

// check is nil unless a write or sync failed.
func (h *health) check() error {
	if !h.troubled.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad
}

// state returns which operations the disk supports.
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

// failures are the errnos of a disk that does not work.
var failures = []syscall.Errno{
	syscall.EIO, syscall.ENXIO, syscall.ENODEV, syscall.EUCLEAN, syscall.EBADMSG, syscall.EREMOTEIO, syscall.ENOMEDIUM, syscall.ESHUTDOWN,
}

// judge classifies the error of a change whose outcome is known: a full disk, another
// temporary condition, or a disk that fails. It returns the error for the caller.
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
		WithHint("The message names the cause; nothing was stored, and a later attempt may succeed.")
}

// full records that the disk, or a quota on it, has no space left.
func (h *health) full(id store.ChunkID, err error) error {
	e := translate("write", id, err)
	_ = h.block(store.DiskFull, e)
	return e
}

// block refuses writes until a probe succeeds.
func (h *health) block(state store.DiskState, cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bad != nil {
		return h.bad
	}
	if h.blocked == nil || h.disk.State != state {
		h.log.Warn("new chunks are refused until the disk can be written again", "state", state.String(), "cause", cause)
	}
	h.blocked, h.disk = cause, store.Disk{State: state, Reason: cause.Error()}
	h.troubled.Store(true)
	return cause
}

// passed ends block.
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

// fail records the first failure after which the content of the disk is unknown, and returns
// the error of all later changes.
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
