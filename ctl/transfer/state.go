package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
)

// logVersion is that of the two logs that this package keeps, of uploads and of
// downloads under way; see docs/format/transfer-state.md.
const logVersion = 1

// head begins the first line of a log.
type head struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// entry is each further line: a part that has arrived.
type entry struct {
	Part int    `json:"part"` // from 1
	CRC  string `json:"crc64nvme"`
}

// log is a file of JSON lines to which lines are only added: the first says what
// it is of, and each other names a part that has arrived. It is locked as long as it is open. What
// a kill cut off in the middle of a line was never there.
type log struct {
	path string
	f    *os.File
}

// errGarbled: the log cannot be read. What it knew is lost, and nothing else.
var errGarbled = errors.New("the record of an earlier run cannot be read")

// openLog opens the log for this process alone, and reads it: first is filled with
// its first line, and the entries are returned; found is false where it is new or empty. The file must be of
// the format. Errors: conflict (another process has it, or a newer version wrote it), errGarbled, which leaves it open.
func openLog(path string, f *os.File, format string, first any) (l *log, entries []entry, found bool, err error) {
	if taken, err := tryLock(f); err != nil || taken {
		_ = f.Close()
		if err != nil {
			return nil, nil, false, localFault(err)
		}
		return nil, nil, false, fault.New("conflict", "another s3ctl is moving this file").WithHint("wait for it, or stop it")
	}
	l = &log{path, f}
	data, err := io.ReadAll(f)
	if err != nil {
		_ = f.Close()
		return nil, nil, false, localFault(err)
	}
	if len(data) == 0 {
		return l, nil, false, nil
	}
	entries, err = parseLog(data, format, first)
	if e, ok := errors.AsType[*fault.Error](err); ok {
		_ = f.Close()
		e.Item = path
		return nil, nil, false, e
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
		return nil, errGarbled
	}
	if h.Version > logVersion {
		return nil, fault.New("conflict", "a newer s3ctl wrote this record of a transfer (version %d)", h.Version).
			WithHint("go on with that version of s3ctl, or remove the file to begin anew")
	}
	if json.Unmarshal(lines[0], first) != nil {
		return nil, errGarbled
	}
	var entries []entry
	for _, line := range lines[1:] {
		var e entry
		if json.Unmarshal(line, &e) != nil {
			return nil, errGarbled
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// begin empties the log and writes its first line.
func (l *log) begin(first any) error {
	if err := l.f.Truncate(0); err != nil {
		return localFault(err)
	}
	if _, err := l.f.Seek(0, io.SeekStart); err != nil {
		return localFault(err)
	}
	return l.add(first)
}

// rewind begins the log anew with what is known of it.
func (l *log) rewind(first any, entries []entry) error {
	if err := l.begin(first); err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.add(e); err != nil {
			return err
		}
	}
	return nil
}

// add appends a line in one write.
func (l *log) add(line any) error {
	data, err := json.Marshal(line)
	if err != nil {
		return fault.New("internal", "%v", err)
	}
	_, err = l.f.Write(append(data, '\n'))
	return localFault(err)
}

func (l *log) close() { _ = l.f.Close() }

// uploadHead is the first line of an upload's log: what is being sent where.
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

// fingerprint tells whether a local file is still the one that it was.
type fingerprint struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"` // since 1970
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
}

func fingerprintOf(info fs.FileInfo) fingerprint {
	dev, ino := identity(info)
	return fingerprint{Size: info.Size(), ModTime: info.ModTime().UnixNano(), Device: dev, Inode: ino}
}

// openUploadLog opens the log of the upload of this path to this place; nil where none is to be kept.
func (m *Mover) openUploadLog(path, bucket, key string, h *uploadHead) (l *log, entries []entry, found bool, err error) {
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
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, false, localFault(err)
		}
		l, entries, found, err = openLog(name, f, uploadFormat, h)
		if l == nil || l.current() {
			return l, entries, found, err
		}
		l.close() // whoever had it removed it in between
	}
}

// current says whether the open file is still the one of its name.
func (l *log) current() bool {
	mine, err := l.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(l.path)
	return err == nil && os.SameFile(mine, there)
}

// remove ends the log for good.
func (l *log) remove() {
	_ = os.Remove(l.path)
	l.close()
}
