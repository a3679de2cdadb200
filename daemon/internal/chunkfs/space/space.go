// Package space accounts for the bytes of a disk that a chunk store uses.
//
// Two numbers describe the store, and each change keeps both:
//
//	used      = bytes of stored files + the sizes of all reservations
//	unwritten = bytes of the reservations that the file system does not count as used yet
//
// The file system counts what was written or preallocated, so after a measurement of the disk
//
//	available = free bytes of the disk - unwritten
//
// and until the next measurement available shrinks by as much as used grows.
package space

import (
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// maxAge is the greatest age of a measurement of the disk. Between measurements only the
// store's own changes are counted.
const maxAge = time.Second

// Config configures an Account.
type Config struct {
	Measure func() (vfs.Space, error)
	Now     func() time.Time
	Reserve int64 // bytes of the disk that new chunks must leave free
	Limit   int64 // bytes that the store may use; 0: the whole disk
}

// Account is the space of one store. Safe for concurrent use.
type Account struct {
	cfg Config

	mu        sync.Mutex // guards the fields below
	used      int64
	unwritten int64
	disk      vfs.Space // the last measurement
	measured  time.Time // when it was made
	most      int64     // what used can grow to, by that measurement
}

// New returns the account of an empty store.
func New(cfg Config) *Account { return &Account{cfg: cfg} }

// Reserve reserves n bytes for a new chunk. NoSpace if they are not free. The caller must end
// the reservation with Store or Release.
func (a *Account) Reserve(n int64) (Reservation, error) {
	r := Reservation{account: a}
	err := r.Grow(n)
	return r, err
}

// Add counts n bytes that were stored without a reservation; negative for bytes that were freed.
func (a *Account) Add(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used += n
}

// available is the number of bytes of the disk that no one uses. a.mu is held.
func (a *Account) available() (int64, error) {
	if now := a.cfg.Now(); a.measured.IsZero() || now.Sub(a.measured) >= maxAge {
		disk, err := a.cfg.Measure()
		if err != nil {
			return 0, err
		}
		a.disk, a.measured, a.most = disk, now, disk.Free-a.unwritten+a.used
	}
	return a.most - a.used, nil
}

// free is the number of bytes that new chunks may take. a.mu is held.
func (a *Account) free() (int64, error) {
	n, err := a.available()
	if err != nil {
		return 0, err
	}
	n -= a.cfg.Reserve
	if a.cfg.Limit > 0 {
		n = min(n, a.cfg.Limit-a.used)
	}
	return n, nil
}

// RoomFor reports whether the disk has n bytes for compaction, which may use the reserve and
// exceed the limit because it frees more than it takes.
func (a *Account) RoomFor(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	available, err := a.available()
	return err == nil && available >= n
}

// Exhausted reports whether no byte is free for new chunks.
func (a *Account) Exhausted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	free, err := a.free()
	return err == nil && free <= 0
}

// Capacity returns the total, used and free bytes, and whether the file system is read-only.
func (a *Account) Capacity() (c store.Capacity, readOnly bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	free, err := a.free()
	if err != nil {
		return c, false, err
	}
	total := a.disk.Total
	if a.cfg.Limit > 0 {
		total = min(total, a.cfg.Limit)
	}
	return store.Capacity{Total: total, Used: a.used, Free: max(free, 0)}, a.disk.ReadOnly, nil
}

// Reservation is the space of one chunk that is being written. It is used by one goroutine at a
// time, and must not be copied after its first use.
type Reservation struct {
	account *Account
	size    int64
	written int64 // of size, what the file system counts as used
}

// Grow ensures that the reservation has at least size bytes. NoSpace if they are not free; the
// reservation is then unchanged.
func (r *Reservation) Grow(size int64) error {
	n := size - r.size
	a := r.account
	a.mu.Lock()
	defer a.mu.Unlock()
	free, err := a.free()
	if err != nil {
		return err
	}
	if n > free || r.size == 0 && free <= 0 {
		return store.Errorf(store.NoSpace, "%d bytes do not fit into the %d that are free (%d are kept in reserve)", n, max(free, 0), a.cfg.Reserve).
			WithHint("Free space on the node's disk, lower its reserve, or add nodes.")
	}
	if n > 0 {
		r.size += n
		a.used += n
		a.unwritten += n
	}
	return nil
}

// Size is the number of reserved bytes.
func (r *Reservation) Size() int64 { return r.size }

// Written records that the first n bytes of the chunk were written or preallocated, so that the
// file system counts them as used. Bytes beyond the reservation are ignored.
func (r *Reservation) Written(n int64) {
	n = min(n, r.size)
	if n <= r.written {
		return
	}
	r.account.mu.Lock()
	defer r.account.mu.Unlock()
	r.account.unwritten -= n - r.written
	r.written = n
}

// Store ends the reservation: the chunk is stored and takes length bytes, headers included.
func (r *Reservation) Store(length int64) { r.end(length) }

// Release ends the reservation without a chunk: what was written is removed. It has no effect
// after Store or Release.
func (r *Reservation) Release() { r.end(0) }

func (r *Reservation) end(length int64) {
	r.account.mu.Lock()
	defer r.account.mu.Unlock()
	r.account.used += length - r.size
	r.account.unwritten -= r.size - r.written
	r.size, r.written = 0, 0
}
