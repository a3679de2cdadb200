package chunkfs

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// folders makes and syncs the folders of chunk files.
type folders struct {
	fs   vfs.FS
	disk *health
	made [256]atomic.Bool // chunks/<byte> is there, durably
	dark [256]bool        // chunks/<byte> could not be listed; set at start only

	mu      sync.Mutex // guards syncing
	syncing map[string]*dirSync
}

// dirSync is a sync of a directory that was asked for. Whoever asks while one
// runs waits for the next, which covers all that asked meanwhile.
type dirSync struct {
	next *dirSync // asked for after this one began; nil when nobody did
	done chan struct{}
	err  error
}

func folderOf(id store.ChunkID) string {
	const digits = "0123456789abcdef"
	b := id.Part[0]
	return "chunks/" + string([]byte{digits[b>>4], digits[b&15]})
}

func chunkName(id store.ChunkID) string { return folderOf(id) + "/" + id.String() }

// unlisted reports whether the index may not know all files of the chunk's folder.
func (f *folders) unlisted(id store.ChunkID) bool { return f.dark[id.Part[0]] }

// make sees to the folder of a chunk.
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

// sync makes the names in a directory durable, together with all others that
// ask for the same directory at the time.
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

// run syncs, and leaves the directory to the one that waits, or to nobody.
func (f *folders) run(dir string, own *dirSync) {
	if own.err = f.disk.check(); own.err == nil {
		switch err := f.fs.SyncDir(dir); {
		case err == nil:
		case isFull(err):
			_ = f.disk.full(store.ChunkID{}, err)
			own.err = openOutcome(err)
		default:
			own.err = f.disk.fail(err)
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

// removeFile removes the chunk's file durably. A file that is not there is no error.
func (s *Store) removeFile(id store.ChunkID) error {
	name := chunkName(id)
	entry, err := s.fs.Stat(name)
	if err == nil {
		err = s.fs.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.disk.judge(id, err)
	}
	s.space.add(-entry.Size)
	s.index.removeAt(id, form.Place{})
	return s.folders.sync(folderOf(id))
}
