package disk

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Health tracks which operations the disk of a data directory supports. Safe for concurrent use.
//
// A failed write or sync is final until the store is opened again, because the content of
// the disk is unknown. A full disk is never final, and neither is a file system that refused
// a change because it is read-only: both are probed again before the next write
// (by the chunk store). Reading is never affected.
type Health struct {
	log      *slog.Logger
	troubled atomic.Bool // bad or blocked is set

	mu      sync.Mutex // guards the fields below
	bad     error      // final
	blocked error      // may end
	disk    store.Disk // as reported in heartbeats
}

// NewHealth returns the health of a disk that is taken to work.
func NewHealth(log *slog.Logger) *Health { return &Health{log: log} }

// Troubled reports whether a write failed, and none has succeeded since: Check or a probe tells more.
func (h *Health) Troubled() bool { return h.troubled.Load() }

// Check is nil unless a write or sync failed.
func (h *Health) Check() error {
	if !h.troubled.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad
}

// State returns which operations the disk supports.
func (h *Health) State() store.Disk {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disk
}

// TakesNothing reports whether not even a change that needs no space is possible.
func (h *Health) TakesNothing() bool {
	state := h.State().State
	return state == store.DiskReadOnly || state == store.DiskFailing
}

// failures are the errnos of a disk that does not work.
var failures = []syscall.Errno{
	syscall.EIO, syscall.ENXIO, syscall.ENODEV, syscall.EUCLEAN, syscall.EBADMSG, syscall.EREMOTEIO, syscall.ENOMEDIUM, syscall.ESHUTDOWN,
}

// Judge classifies the error of a change whose outcome is known: a full disk, another
// temporary condition, or a disk that fails. It returns the error for the caller.
func (h *Health) Judge(id store.ChunkID, err error) error {
	if IsFull(err) {
		return h.Full(id, err)
	}
	if errors.Is(err, syscall.EROFS) {
		return h.Block(store.DiskReadOnly, ReadOnly(err))
	}
	if isFailure(err) {
		return h.Fail(err)
	}
	return (&store.Error{Op: "chunkfs.write", Kind: store.Unavailable, Item: id.String(), Err: err}).
		WithHint("The message names the cause; nothing was stored, and a later attempt may succeed.")
}

// Full records that the disk, or a quota on it, has no space left.
func (h *Health) Full(id store.ChunkID, err error) error {
	e := Translate("write", id, err)
	_ = h.Block(store.DiskFull, e)
	return e
}

// Block refuses writes until a probe succeeds.
func (h *Health) Block(state store.DiskState, cause error) error {
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

// Passed ends block.
func (h *Health) Passed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blocked == nil || h.bad != nil {
		return
	}
	h.log.Info("the disk can be written again", "state before", h.disk.State.String())
	h.blocked, h.disk = nil, store.Disk{}
	h.troubled.Store(false)
}

// Fail records the first failure after which the content of the disk is unknown, and returns
// the error of all later changes.
func (h *Health) Fail(cause error) error {
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

// Unreadable reports a part of the data directory that cannot be read at start. It returns only
// errors that are unrelated to the disk.
func (h *Health) Unreadable(name string, err error) error {
	if Passes(err) {
		return err
	}
	h.log.Error("part of the data directory cannot be read; the chunks in it are missing on this node", "name", name, "cause", err)
	return nil
}
