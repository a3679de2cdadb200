package segment

import (
	"iter"
	"runtime"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// maxAhead is how many segments a start reads, or holds in memory, besides the one that it applies. One that was sealed takes 7 MB
// with chunks of 1 KiB; one that has to be scanned up to 120 MB.
const maxAhead = 4

// file is a segment to be read at start, and then what was read of it.
type file struct {
	number uint32
	newest bool // the newest segment or the newest spare one: only their last write may have been interrupted
	read   format.Segment
	err    error // of reading; nil for damage
}

// readAhead yields the files in order, with what was read of each. It reads the next ones meanwhile, and ends when those in progress
// were read. No file stays open.
func readAhead(fs vfs.Opener, files []file) iter.Seq[*file] {
	return func(yield func(*file) bool) {
		var reading sync.WaitGroup
		defer reading.Wait()
		ahead := min(max(runtime.GOMAXPROCS(0), 2), maxAhead)
		done := make([]chan struct{}, len(files))
		begin := func(n int) {
			if n < len(files) {
				done[n] = make(chan struct{})
				reading.Go(func() {
					defer close(done[n])
					files[n].load(fs)
				})
			}
		}
		for n := range ahead {
			begin(n)
		}
		for n := range files {
			begin(n + ahead)
			<-done[n]
			if !yield(&files[n]) {
				return
			}
			files[n].read = format.Segment{} // not needed any more
		}
	}
}

// load opens, reads and closes the file.
func (s *file) load(fs vfs.Opener) {
	f, err := fs.OpenRead(Name(s.number))
	if err != nil {
		s.err = err
		return
	}
	defer f.Close()
	if s.newest {
		s.read, s.err = format.LoadNewestSegment(f, s.number)
	} else {
		s.read, s.err = format.LoadSegment(f, s.number)
	}
}
