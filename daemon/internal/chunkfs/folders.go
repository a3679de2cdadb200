package chunkfs

import (
	"sync"
	"sync/atomic"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// folders creates and syncs the folders of chunk files.
type folders struct {
	fs         vfs.FS
	disk       *disk.Health
	made       [256]atomic.Bool // chunks/<byte> exists durably
	unlistable [256]bool        // chunks/<byte> could not be listed; set at start only

	mu      sync.Mutex // guards syncing
	syncing map[string]*dirSync
}

// dirSync is a requested sync of a directory. Callers that arrive while one runs share the
// next one.
type dirSync struct {
	next *dirSync // requested after this one began; nil for none
	done chan struct{}
	err  error
}

func folderOf(id store.ChunkID) string {
	const digits = "0123456789abcdef"
	b := id.Part[0]
	return "chunks/" + string([]byte{digits[b>>4], digits[b&15]})
}

func chunkName(id store.ChunkID) string { return folderOf(id) + "/" + id.String() }

// unlisted reports whether the index may lack files of the chunk's folder.
func (f *folders) unlisted(id store.ChunkID) bool { return f.unlistable[id.Part[0]] }

// make ensures that the folder of a chunk exists durably.
func (f *folders) make(id store.ChunkID) error {
	made := &f.made[id.Part[0]]
	if made.Load() {
		return nil
	}
	if err := f.fs.MkdirAll(folderOf(id)); err != nil {
		return err
	}
	if err := f.sync("chunks"); err != nil {
		return err
	}
	made.Store(true)
	return nil
}

// sync makes the names in a directory durable, with one sync for all concurrent callers of
// the same directory.
func (f *folders) sync(dir string) error {
	f.mu.Lock()
	running, busy := f.syncing[dir]
	if !busy {
		own := &dirSync{done: make(chan struct{})}
		f.syncing[dir] = own
		f.mu.Unlock()
		f.run(dir, own)
		return own.err
	}
	lead := running.next == nil
	if lead {
		running.next = &dirSync{done: make(chan struct{})}
	}
	own := running.next
	f.mu.Unlock()
	if !lead {
		<-own.done
		return own.err
	}
	<-running.done
	f.run(dir, own)
	return own.err
}

// run syncs, and makes the waiting sync the directory's current one, if there is one.
func (f *folders) run(dir string, own *dirSync) {
	if own.err = f.disk.Check(); own.err == nil {
		switch err := f.fs.SyncDir(dir); {
		case err == nil:
		case disk.IsFull(err):
			_ = f.disk.Full(store.ChunkID{}, err)
			own.err = disk.OutcomeOpen(err)
		default:
			own.err = f.disk.Fail(err)
		}
	}
	f.mu.Lock()
	if own.next != nil {
		f.syncing[dir] = own.next
	} else {
		delete(f.syncing, dir)
	}
	f.mu.Unlock()
	close(own.done)
}
