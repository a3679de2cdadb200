package standalone

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// lockDirectory creates the directory and locks it for this process; the lock ends with
// the process, however that ends. Conflict if another process holds it.
func lockDirectory(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, store.Errorf(store.Invalid, "--data: %w", err).WithHint("Choose a directory that can be written to.")
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, store.Errorf(store.Invalid, "--data: %w", err).WithHint("Choose a directory that can be written to.")
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = store.Errorf(store.Conflict, "another process is running on %s", dir).
			WithHint("Use or stop the running process, or choose another directory with --data.")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
