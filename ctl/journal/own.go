package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// ErrForeign means that a file which s3ctl did not create has one of its fixed names.
var ErrForeign = errors.New("was not created by s3ctl")

// OpenOwn opens a file with a predictable name that an earlier run may have created, or creates it with mode 0600.
// An existing file is used only if no one else can have created it: it must be regular, have one link, belong to
// the user and not be writable by others. Otherwise the error is ErrForeign, and the file is left as it is.
func OpenOwn(in *os.Root, name string, flag int) (*os.File, error) {
	const tries = 16 // another process may create and remove it meanwhile
	for range tries {
		f, err := in.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR|flag, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, fault.Local(err)
		}
		info, err := in.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.Local(err)
		}
		if why := foreign(info); why != "" {
			return nil, fmt.Errorf("%s %w: %s", filepath.Join(in.Name(), name), ErrForeign, why)
		}
		f, err = in.OpenFile(name, os.O_RDWR|flag|noFollow, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.Local(err)
		}
		// The file may have been replaced between Lstat and OpenFile.
		if now, err := f.Stat(); err == nil && os.SameFile(info, now) && foreign(now) == "" {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, fault.New(problem.Conflict, "another program keeps replacing %s", name).WithHint("use a folder that others cannot write to")
}
