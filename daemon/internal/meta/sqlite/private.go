package sqlite

import "os"

// makePrivate makes the database its owner's alone before SQLite opens it: the
// names of buckets and keys are no one else's to read, whatever the umask and
// the folder's mode are. SQLite gives the log and the shared memory the mode of the database.
//
// What cannot be done is left to SQLite, whose error says more.
func makePrivate(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			_ = os.Chmod(name, 0o600) // of a database that was made before; not ours to change when it fails
		}
	}
}
