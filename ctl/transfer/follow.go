package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"

	"github.com/ringstore/ringstore/ctl/fault"
)

// Spot is what a local path leads to.
type Spot struct {
	Path   string // links followed; a file of this name need not exist
	Stream bool   // a device, a named pipe or an open file: it is written to, and never replaced
	FD     int    // the file that this process has open under that number; -1: Path has to be opened
}

// Follow finds out where the bytes belong that are written to a path, as the system would: links are followed one by
// one, since what the last of them leads to can be an open file (/dev/stdout), which has another name or none. NotFound, Conflict.
func Follow(path string) (Spot, error) {
	given := path
	for range maxLinks {
		dir, name := filepath.Split(path)
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return Spot{}, fault.Wrap(given, localFault(err))
		}
		path = filepath.Join(dir, name)
		if fd, is := openFile(dir, name); is {
			return Spot{Path: path, Stream: true, FD: fd}, nil
		}
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Spot{Path: path, FD: -1}, nil
		case err != nil:
			return Spot{}, fault.Wrap(given, localFault(err))
		case info.Mode()&fs.ModeSymlink == 0:
			return Spot{Path: path, Stream: !info.IsDir() && !info.Mode().IsRegular(), FD: -1}, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return Spot{}, fault.Wrap(given, localFault(err))
		}
		path = to
		if !filepath.IsAbs(to) {
			path = dir + string(filepath.Separator) + to // not joined: ".." means what the system means by it
		}
	}
	return Spot{}, fault.Wrap(given, localFault(&fs.PathError{Op: "open", Path: given, Err: syscall.ELOOP}))
}

// descriptors is where Linux shows the files that a process has open.
var descriptors = regexp.MustCompile(`^/proc/([0-9]+)(/task/[0-9]+)?/fd$`)

// openFile tells the names of open files, and gives the number of one of this process; -1 of another.
func openFile(dir, name string) (fd int, is bool) {
	m := descriptors.FindStringSubmatch(dir)
	n, err := strconv.Atoi(name)
	if m == nil || err != nil {
		return -1, false
	}
	if m[1] != strconv.Itoa(os.Getpid()) {
		return -1, true
	}
	return n, true
}

// Open opens a stream to write to it. An open file of this process keeps its place in the file, so that what was written
// before is not overwritten; that of another is written to at its end.
func (s Spot) Open() (*os.File, error) {
	if s.FD >= 0 {
		f, err := duplicate(s.FD, s.Path)
		return f, localFault(err)
	}
	flag := os.O_WRONLY
	if descriptors.MatchString(filepath.Dir(s.Path)) {
		flag |= os.O_APPEND
	}
	f, err := os.OpenFile(s.Path, flag, 0)
	return f, localFault(err)
}
