package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/ctl/localfile"
)

// uploadHead is the first line of an upload's log: it identifies the upload.
type uploadHead struct {
	journal.Head
	Session  string      `json:"session_id"`
	Endpoint string      `json:"endpoint"`
	Bucket   string      `json:"bucket"`
	Key      string      `json:"key"`
	Path     string      `json:"path"`
	Source   fingerprint `json:"source"`
	PartSize int64       `json:"part_size"`
}

// fingerprint detects that a local file has changed.
type fingerprint struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"` // Unix nanoseconds
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
}

func fingerprintOf(info fs.FileInfo) fingerprint {
	dev, ino := localfile.Identity(info)
	return fingerprint{Size: info.Size(), ModTime: info.ModTime().UnixNano(), Device: dev, Inode: ino}
}

// openUploadLog opens the log of the upload of this path to this object; nil if Manager.State is not set.
func (m *Manager) openUploadLog(path, bucket, key string, h *uploadHead) (l *journal.Log, entries []journal.Entry, found bool, err error) {
	if m.State == "" {
		return nil, nil, false, nil
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, false, fault.Local(err)
	}
	dir := filepath.Join(m.State, "uploads")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, false, fault.Local(err)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{m.Client.Endpoint(), bucket, key, whole}, "\x00")))
	name := filepath.Join(dir, hex.EncodeToString(sum[:16])+".jsonl")
	return journal.Open(journal.System, name, journal.Upload, h)
}
