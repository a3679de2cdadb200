package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ringstore/ringstore/ctl/fault"
)

// folder is where files with fixed names are kept from one run to the next; *os.Root is one.
type folder interface {
	Lstat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
	Remove(name string) error
}

// errForeign: a file has one of our fixed names, and was not made by us.
var errForeign = errors.New("is not a file of s3ctl's own")

// openOwn opens a file that an earlier run may have made under a name that anyone can foresee, or makes it: read
// and written by the user alone. A file that is there is only used if it can be no other's work: regular, of
// one name, the user's, and not writable by others; otherwise the error is errForeign, and the file is left as it is.
func openOwn(in folder, name string, flag int) (*os.File, error) {
	const tries = 16 // another process may make and remove it meanwhile
	for range tries {
		f, err := in.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR|flag, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, localFault(err)
		}
		info, err := in.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, localFault(err)
		}
		if why := foreign(info); why != "" {
			return nil, fmt.Errorf("%s %w: %s", name, errForeign, why)
		}
		f, err = in.OpenFile(name, os.O_RDWR|flag|noFollow, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, localFault(err)
		}
		// What was looked at need not be what was opened.
		if now, err := f.Stat(); err == nil && os.SameFile(info, now) && foreign(now) == "" {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, fault.New("conflict", "%s is replaced all the time", name).WithHint("use a folder that others cannot write to")
}

// system is the folder of plain paths.
type system struct{}

// Lstat implements folder.
func (system) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// OpenFile implements folder.
func (system) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// Remove implements folder.
func (system) Remove(name string) error { return os.Remove(name) }
