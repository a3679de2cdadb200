package localfile

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

// Spot is the file that a local path resolves to.
type Spot struct {
	Path   string // with links resolved; the file need not exist
	Stream bool   // a device, a named pipe or an open file descriptor: written to, never replaced
	FD     int    // the descriptor of this process that the path names; -1: open Path
}

// Follow resolves a path as the system does when a program writes to it. Links are followed one at a
// time, since the last one may lead to an open descriptor (/dev/stdout) whose file has another name or none. NotFound, Conflict.
func Follow(path string) (Spot, error) {
	given := path
	for range maxLinks {
		dir, name := filepath.Split(path)
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return Spot{}, fault.Wrap(given, fault.Local(err))
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
			return Spot{}, fault.Wrap(given, fault.Local(err))
		case info.Mode()&fs.ModeSymlink == 0:
			return Spot{Path: path, Stream: !info.IsDir() && !info.Mode().IsRegular(), FD: -1}, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return Spot{}, fault.Wrap(given, fault.Local(err))
		}
		path = to
		if !filepath.IsAbs(to) {
			path = dir + string(filepath.Separator) + to // filepath.Join would shorten ".." as text; the system follows links first
		}
	}
	return Spot{}, fault.Wrap(given, fault.Local(&fs.PathError{Op: "open", Path: given, Err: syscall.ELOOP}))
}

// descriptors matches the folders in which Linux lists the open files of a process.
var descriptors = regexp.MustCompile(`^/proc/([0-9]+)(/task/[0-9]+)?/fd$`)

// openFile reports whether a name is an open descriptor, and which one if it is this process's; -1 for another process's.
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

// Open opens a stream for writing. A descriptor of this process keeps its position, so that earlier output is not
// overwritten; one of another process is appended to.
func (s Spot) Open() (*os.File, error) {
	if s.FD >= 0 {
		f, err := duplicate(s.FD, s.Path)
		return f, fault.Local(err)
	}
	flag := os.O_WRONLY
	if descriptors.MatchString(filepath.Dir(s.Path)) {
		flag |= os.O_APPEND
	}
	f, err := os.OpenFile(s.Path, flag, 0)
	return f, fault.Local(err)
}
