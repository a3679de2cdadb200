// Package reserve keeps disk space for the deletions of a metadata database: a deletion, too, needs room
// in the log before it frees anything.
package reserve

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	size  = 4 << 20         // far more than the log grows between two checkpoints while only deletes run
	retry = 2 * time.Second // between two attempts to fill the reserve again
)

// Reserve is a file beside the database. On a full disk the file is emptied for deletions, and until it can be
// filled again the calls that take space are refused, so that they cannot use the reserved space.
// Safe for concurrent use. Stores that share a database share the file, and each follows its own state.
type Reserve struct {
	path  string
	spent atomic.Bool // stored under mu

	mu    sync.Mutex // held across the disk
	tried time.Time  // when filling was last tried
}

// Path names the file beside the database.
func Path(database string) string {
	return strings.TrimSuffix(database, filepath.Ext(database)) + ".reserve"
}

// Open fills the file beside the database; on a full disk the reserve is spent from the start.
func Open(database string) *Reserve {
	r := &Reserve{path: Path(database)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fill()
	return r
}

// Spent is true while the disk is full and changes use the reserved space.
func (r *Reserve) Spent() *atomic.Bool { return &r.spent }

// Admit returns nil when a call that takes space may run. It fills the file again when space is available.
func (r *Reserve) Admit() error {
	if !r.spent.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spent.Load() && time.Since(r.tried) >= retry {
		r.fill()
	}
	if r.spent.Load() {
		return store.Errorf(store.NoSpace, "the disk of the metadata is full, and only deletes are possible").
			WithHint("Delete files or free space on the disk of the metadata, then try again.")
	}
	return nil
}

// Release gives the space to deletions.
func (r *Reserve) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spent.Load() {
		return
	}
	r.empty()
	r.tried = time.Now()
}

// empty is called with mu held. Truncating the file needs no new block, unlike writing another.
func (r *Reserve) empty() {
	_ = os.Truncate(r.path, 0) // where it fails no space was freed, and the deletion fails with that reason
	r.spent.Store(true)
}

// fill is called with mu held. A reserve that cannot be filled because the disk is full is spent; if it
// fails for another reason, the database runs without a reserve.
func (r *Reserve) fill() {
	r.tried = time.Now()
	err := write(r.path)
	if isFull(err) {
		r.empty()
		return
	}
	r.spent.Store(false)
}

// write writes the whole file durably, with bytes that no file system can compress.
func write(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err != nil || info.Size() == size {
		return errors.Join(err, f.Close())
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
