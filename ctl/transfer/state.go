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
// it is of, and each other names a part that has arrived; of several of one part the last
// counts. It is locked as long as it is open. What a kill cut off in the middle of a line was never there.
//
// A nil log is one in which nothing is recorded.
type log struct {
	in   folder
	name string
	f    *os.File // opened to append
}

// maxLog bounds a log in bytes: ten lines for each part that there can be.
const maxLog = 16 << 20

var (
	// errGarbled: the log cannot be read. What it knew is lost, and nothing else.
	errGarbled = errors.New("the record of an earlier run cannot be read")
	// errTaken and errNewer: the transfer must be left alone.
	errTaken = errors.New("another s3ctl is moving this file")
	errNewer = errors.New("a newer s3ctl wrote this record of a transfer")
)

// openLog opens the log for this process alone, and reads it: first is filled with
// its first line, and the entries are returned; found is false where it is new or empty. The file must be of
// the format. Errors: errTaken, errNewer, errGarbled, which leaves it open, and what the system says.
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
		return l, nil, false, errGarbled
	}
	entries, err = parseLog(data, format, first)
	if e, ok := errors.AsType[*fault.Error](err); ok {
		_ = f.Close()
		e.Item = name
		return nil, nil, false, e
	}
	// The next line must not become one with a torn one.
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
		return nil, errGarbled
	}
	if h.Version > logVersion {
		return nil, (&fault.Error{Kind: "conflict", Err: fmt.Errorf("%w (version %d)", errNewer, h.Version)}).
			WithHint("use that version of s3ctl, or remove the file to start from the beginning")
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
		f, err := openOwn(system{}, name, os.O_APPEND)
		if err != nil {
			return nil, nil, false, err
		}
		l, entries, found, err = openLog(system{}, name, f, uploadFormat, h)
		if l == nil || l.isNamed() {
			return l, entries, found, err
		}
		l.close() // its owner removed it in between
	}
}

// isNamed says whether the log is the file that has its name.
func (l *log) isNamed() bool {
	there, err := l.in.Lstat(l.name)
	if err != nil {
		return false
	}
	mine, err := l.f.Stat()
	return err == nil && os.SameFile(mine, there)
}

// remove ends the log for good.
func (l *log) remove() {
	_ = l.in.Remove(l.name)
	l.close()
}
