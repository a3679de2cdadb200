package segment

import (
	"container/list"
	"errors"
	"sync"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// files opens the files of segments on demand. It keeps those that no one uses open, until more than limit files are open: then it
// closes the ones that were used least recently. A file that is in use is never closed, so more than limit are open only while
// all of them are in use.
type files struct {
	fs    vfs.Opener
	limit int

	mu   sync.Mutex // guards the fields below and the marked ones of each segment; not held during I/O
	open int        // files that are open or are being opened
	idle *list.List // of *Segment: open and not in use, the least recently used first
}

func newFiles(fs vfs.Opener, limit int) *files { return &files{fs: fs, limit: limit, idle: list.New()} }

// Acquire announces a use of the segment's file, which stays open from Open to Release. It does no I/O.
func (s *Segment) Acquire() {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	s.users++
	if s.idle != nil {
		s.files.idle.Remove(s.idle)
		s.idle = nil
	}
}

// Open returns the segment's file for reading. The caller has acquired the segment, and does not close the file.
// fs.ErrNotExist if the segment was removed since, and its file was not open then: its live records are elsewhere.
func (s *Segment) Open() (vfs.File, error) {
	if f := s.opened(); f != nil {
		return f, nil
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	if f := s.opened(); f != nil {
		return f, nil
	}
	f, err := s.files.openWith(func() (vfs.File, error) { return s.files.fs.OpenRead(Name(s.Number)) })
	if err != nil {
		return nil, err
	}
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	s.file = f
	return f, nil
}

func (s *Segment) opened() vfs.File {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	return s.file
}

// Release ends the use that Acquire began. The last one closes the file of a segment that was dropped from the table.
func (s *Segment) Release() {
	x := s.files
	x.mu.Lock()
	var surplus []vfs.File
	switch s.users--; {
	case s.users > 0 || s.file == nil:
	case s.dropped:
		surplus = x.take(s, nil)
	default:
		s.idle = x.idle.PushBack(s)
		surplus = x.surplus(x.limit)
	}
	x.mu.Unlock()
	closeFiles(surplus)
}

// drop closes the file of a segment that left the table as soon as no one uses it.
func (x *files) drop(s *Segment) {
	x.mu.Lock()
	var unused []vfs.File
	s.dropped = true
	if s.idle != nil {
		unused = x.take(s, nil)
	}
	x.mu.Unlock()
	closeFiles(unused)
}

// openWith calls open when there is room for one more file. If the process or the system has too many open files, it closes all that
// are not in use and calls open once more.
func (x *files) openWith(open func() (vfs.File, error)) (vfs.File, error) {
	x.mu.Lock()
	x.open++
	surplus := x.surplus(x.limit)
	x.mu.Unlock()
	closeFiles(surplus)
	f, err := open()
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		x.mu.Lock()
		surplus = x.surplus(0)
		x.mu.Unlock()
		closeFiles(surplus)
		f, err = open()
	}
	if err != nil {
		x.forget()
	}
	return f, err
}

// forget counts a file of openWith that belongs to no segment and is closed.
func (x *files) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open--
}

// surplus takes files that are not in use until only limit are open. x.mu is held; the caller closes the files without it.
func (x *files) surplus(limit int) (taken []vfs.File) {
	for x.open > limit && x.idle.Len() > 0 {
		taken = x.take(x.idle.Front().Value.(*Segment), taken)
	}
	return taken
}

// take appends the file of a segment that is not in use. x.mu is held.
func (x *files) take(s *Segment, to []vfs.File) []vfs.File {
	if s.idle != nil {
		x.idle.Remove(s.idle)
	}
	to = append(to, s.file)
	s.file, s.idle = nil, nil
	x.open--
	return to
}

func closeFiles(files []vfs.File) {
	for _, f := range files {
		_ = f.Close() // it was only read, or is synced
	}
}
