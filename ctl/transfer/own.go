package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ringstore/ringstore/ctl/fault"
)

// folder holds files with fixed names from one run to the next; *os.Root is one.
type folder interface {
	Lstat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
	Remove(name string) error
}

// errForeign: a file that s3ctl did not create has one of its fixed names.
var errForeign = errors.New("was not created by s3ctl")

// openOwn opens a file with a predictable name that an earlier run may have created, or creates it with mode 0600.
// An existing file is used only if no one else can have created it: it must be regular, have one link, belong to
// the user and not be writable by others. Otherwise the error is errForeign, and the file is left as it is.
func openOwn(in folder, name string, flag int) (*os.File, error) {
	const tries = 16 // another process may create and remove it meanwhile
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
		// The file may have been replaced between Lstat and OpenFile.
		if now, err := f.Stat(); err == nil && os.SameFile(info, now) && foreign(now) == "" {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, fault.New("conflict", "another program keeps replacing %s", name).WithHint("use a folder that others cannot write to")
}

// system is the folder in which names are plain paths.
type system struct{}

// Lstat implements folder.
func (system) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// OpenFile implements folder.
func (system) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// Remove implements folder.
func (system) Remove(name string) error { return os.Remove(name) }
