package db

import "os"

// makePrivate makes the database accessible to its owner only, before SQLite opens it: no other user
// may read the names of buckets and keys, whatever the umask and
// the folder's mode are. SQLite gives the log and the shared memory the mode of the database.
//
// Errors are ignored here: SQLite fails in the same way, with a better message.
func makePrivate(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			_ = os.Chmod(name, 0o600) // of an existing database; it fails where another user owns the file
		}
	}
}
