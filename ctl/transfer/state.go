package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
)

// logVersion is the format version of the two logs that this package keeps, of unfinished uploads and
// downloads; see docs/format/transfer-state.md.
const logVersion = 1

// head begins the first line of a log.
type head struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// entry is every further line: a part that has arrived.
type entry struct {
	Part int    `json:"part"` // from 1
	CRC  string `json:"crc64nvme"`
}

// log is an append-only file of JSON lines. The first identifies the transfer, each other names a part that has
// arrived; of several lines for one part the last is valid. The file is locked while it is open. A line that a crash cut
// off is ignored.
//
// A nil log records nothing.
type log struct {
	in   folder
	name string
	f    *os.File // opened with O_APPEND
}

// maxLog bounds a log in bytes: ten lines for each possible part.
const maxLog = 16 << 20

var (
	// errUnreadable: the log cannot be read. Only the progress that it recorded is lost.
	errUnreadable = errors.New("the record of an earlier run cannot be read")
	// errTaken, errNewer: this process must not touch the transfer.
	errTaken = errors.New("another s3ctl process is transferring this file")
	errNewer = errors.New("a newer s3ctl wrote this record of a transfer")
)

// openLog locks the log and reads it: its first line into first, and the others as entries; found is false if it is new or
// empty. The file must have the given format. Errors: errTaken, errNewer, errUnreadable (l is then open and usable), and
// those of the file system.
func openLog(in folder, name string, f *os.File, format string, first any) (l *log, entries []entry, found bool, err error) {
	if taken, err := tryLock(f); err != nil || taken {
		_ = f.Close()
		if err != nil {
			return nil, nil, false, localFault(err)
		}
		return nil, nil, false, (&fault.Error{Kind: "conflict", Err: errTaken}).WithHint("wait for it, or stop it")
	}
	l = &log{in, name, f}
	data, err := io.ReadAll(io.LimitReader(f, maxLog+1))
	if err != nil {
		_ = f.Close()
		return nil, nil, false, localFault(err)
	}
	if len(data) == 0 {
		return l, nil, false, nil
	}
	if len(data) > maxLog {
		return l, nil, false, errUnreadable
	}
	entries, err = parseLog(data, format, first)
	if e, ok := errors.AsType[*fault.Error](err); ok {
		_ = f.Close()
		e.Item = name
		return nil, nil, false, e
	}
	// Drop a torn last line, so that the next one does not continue it.
	if err == nil {
		if cut := localFault(f.Truncate(int64(bytes.LastIndexByte(data, '\n') + 1))); cut != nil {
			_ = f.Close()
			return nil, nil, false, cut
		}
	}
	return l, entries, err == nil, err
}

func parseLog(data []byte, format string, first any) ([]entry, error) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if last := len(lines) - 1; !bytes.HasSuffix(lines[last], []byte("\n")) {
		lines = lines[:last] // empty, or torn
	}
	var h head
	if len(lines) == 0 || json.Unmarshal(lines[0], &h) != nil || h.Format != format {
		return nil, errUnreadable
	}
	if h.Version > logVersion {
		return nil, (&fault.Error{Kind: "conflict", Err: fmt.Errorf("%w (version %d)", errNewer, h.Version)}).
			WithHint("use that version of s3ctl, or remove the file to start from the beginning")
	}
	if json.Unmarshal(lines[0], first) != nil {
		return nil, errUnreadable
	}
	var entries []entry
	for _, line := range lines[1:] {
		var e entry
		if json.Unmarshal(line, &e) != nil {
			return nil, errUnreadable
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// begin truncates the log and writes its first line.
func (l *log) begin(first any) error {
	if l == nil {
		return nil
	}
	if err := l.f.Truncate(0); err != nil {
		return localFault(err)
	}
	return l.add(first)
}

// add appends a line in one write.
func (l *log) add(line any) error {
	if l == nil {
		return nil
	}
	data, err := json.Marshal(line)
	if err != nil {
		return fault.New("internal", "%v", err)
	}
	_, err = l.f.Write(append(data, '\n'))
	return localFault(err)
}

func (l *log) close() { _ = l.f.Close() }

// uploadHead is the first line of an upload's log: it identifies the upload.
type uploadHead struct {
	head
	Session  string      `json:"session_id"`
	Endpoint string      `json:"endpoint"`
	Bucket   string      `json:"bucket"`
	Key      string      `json:"key"`
	Path     string      `json:"path"`
	Source   fingerprint `json:"source"`
	PartSize int64       `json:"part_size"`
}

const uploadFormat = "s3ctl upload"

// fingerprint detects that a local file has changed.
type fingerprint struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"` // Unix nanoseconds
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
}

func fingerprintOf(info fs.FileInfo) fingerprint {
	dev, ino := identity(info)
	return fingerprint{Size: info.Size(), ModTime: info.ModTime().UnixNano(), Device: dev, Inode: ino}
}

// openUploadLog opens the log of the upload of this path to this object; nil if Manager.State is not set.
func (m *Manager) openUploadLog(path, bucket, key string, h *uploadHead) (l *log, entries []entry, found bool, err error) {
	if m.State == "" {
		return nil, nil, false, nil
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, false, localFault(err)
	}
	dir := filepath.Join(m.State, "uploads")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, false, localFault(err)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{m.Store.Endpoint(), bucket, key, whole}, "\x00")))
	name := filepath.Join(dir, hex.EncodeToString(sum[:16])+".jsonl")
	for {
		f, err := openOwn(system{}, name, os.O_APPEND)
		if err != nil {
			return nil, nil, false, err
		}
		l, entries, found, err = openLog(system{}, name, f, uploadFormat, h)
		if l == nil || l.isNamed() {
			return l, entries, found, err
		}
		l.close() // the process that held the lock removed it meanwhile
	}
}

// isNamed reports whether the open file is still the one at the log's name.
func (l *log) isNamed() bool {
	there, err := l.in.Lstat(l.name)
	if err != nil {
		return false
	}
	mine, err := l.f.Stat()
	return err == nil && os.SameFile(mine, there)
}

// remove deletes and closes the log.
func (l *log) remove() {
	_ = l.in.Remove(l.name)
	l.close()
}
