package sqlite

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	reserveSize  = 4 << 20         // far more than the log grows between two checkpoints while only deletes run
	reserveRetry = 2 * time.Second // between two attempts to fill the reserve again
)

// reserve is a file beside the database that reserves disk space for deletions: a deletion, too, needs room
// in the log before it frees anything. On a full disk the file is emptied for them, and until it can be
// filled again the calls that take space are refused, so that they cannot use the reserved space.
// Safe for concurrent use. Stores that share a database share the file, and each follows its own state.
type reserve struct {
	path  string
	spent atomic.Bool // stored under mu

	mu    sync.Mutex // held across the disk
	tried time.Time  // when filling was last tried
}

func reservePath(database string) string {
	return strings.TrimSuffix(database, filepath.Ext(database)) + ".reserve"
}

// openReserve fills the file beside the database; on a full disk the reserve is spent from the start.
func openReserve(database string) *reserve {
	r := &reserve{path: reservePath(database)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fill()
	return r
}

// admit returns nil when a call that takes space may run. It fills the file again when space is available.
func (r *reserve) admit() error {
	if !r.spent.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spent.Load() && time.Since(r.tried) >= reserveRetry {
		r.fill()
	}
	if r.spent.Load() {
		return store.Errorf(store.NoSpace, "the disk of the metadata is full, and only deletes are possible").
			WithHint("Delete files or free space on the disk of the metadata, then try again.")
	}
	return nil
}

// release gives the space to deletions.
func (r *reserve) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spent.Load() {
		return
	}
	r.empty()
	r.tried = time.Now()
}

// empty is called with mu held. Truncating the file needs no new block, unlike writing another.
func (r *reserve) empty() {
	_ = os.Truncate(r.path, 0) // where it fails no space was freed, and the deletion fails with that reason
	r.spent.Store(true)
}

// fill is called with mu held. A reserve that cannot be filled because the disk is full is spent; if it
// fails for another reason, the database runs without a reserve.
func (r *reserve) fill() {
	r.tried = time.Now()
	err := writeReserve(r.path)
	if isDiskFull(err) {
		r.empty()
		return
	}
	r.spent.Store(false)
}

// writeReserve writes the whole file durably, with bytes that no file system can compress.
func writeReserve(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err != nil || info.Size() == reserveSize {
		return errors.Join(err, f.Close())
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), reserveSize)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// frees reports whether a change frees space, or is needed by changes that do (leases, background work, a node that rejoins
// at a start). All others take space, heartbeats included: these show whether a write would succeed.
func frees(op string) bool {
	switch op {
	case "DeleteFile", "FailFile", "DeleteBucket", "DeleteCredential", "AbortSession", "DropPart", "Abandon", "SweepDeleted", "MoveChunk", "TrimChanges",
		"Enqueue", "Claim", "TakeOver", "Unclaim", "Hasten", "Finish", "Postpone",
		"AcquireLease", "RenewLease", "ReleaseLease", "Open", "JoinNode",
		"TrimJobs", "TrimEvents", "ClaimJob", "SaveJob", "WishJob", "SaveLoops", "WakeLoops":
		return true
	}
	return false
}
