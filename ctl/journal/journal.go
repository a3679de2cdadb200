// Package journal has the files by which unfinished transfers are resumed: a log of the parts that have arrived, and the rules
// by which s3ctl trusts files with predictable names. The format is documented in docs/format/transfer-state.md.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Version is the version of both formats.
const Version = 2

// The formats of the two logs, as in Head.Format.
const (
	Upload   = "s3ctl upload"
	Download = "s3ctl download"
)

// Head begins the first line of a log.
type Head struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// Entry is every further line: a range of the file that has arrived.
type Entry struct {
	Offset int64  `json:"offset"` // bytes
	Size   int64  `json:"size"`   // bytes
	CRC    string `json:"crc64nvme"`
}

// Log is an append-only file of JSON lines. The first identifies the transfer, each other names a range that has
// arrived; of several lines for one offset the last is valid. The file is locked while it is open. A line that a crash cut
// off is ignored.
//
// A nil Log records nothing.
type Log struct {
	in   *os.Root
	name string
	f    *os.File // opened with O_APPEND
}

// maxLog bounds a log in bytes: ten lines for each possible part.
const maxLog = 16 << 20

var (
	// ErrUnreadable means that the log cannot be read. Only the progress that it recorded is lost.
	ErrUnreadable = errors.New("the record of an earlier run cannot be read")
	// ErrTaken means that another process has the transfer.
	ErrTaken = errors.New("another s3ctl process is transferring this file")
	// ErrNewer means that this version must not touch the transfer.
	ErrNewer = errors.New("a newer s3ctl wrote this record of a transfer")
)

// Open creates or opens the log of that name in a folder, which stays open as long as the log. It locks it and reads it: its
// first line into first, and the others as entries; found is false if it is new or empty. The file must have the given format.
// Errors: ErrForeign, ErrTaken, ErrNewer, ErrUnreadable (l is then open and usable), and those of the file system. Except after
// ErrUnreadable, l is nil after an error.
func Open(in *os.Root, name, format string, first any) (l *Log, entries []Entry, found bool, err error) {
	for {
		f, err := OpenOwn(in, name, os.O_APPEND)
		if err != nil {
			return nil, nil, false, err
		}
		l = &Log{in, name, f}
		entries, found, err = l.read(format, first)
		switch {
		case err != nil && !errors.Is(err, ErrUnreadable):
			l.Close()
			return nil, nil, false, err
		case l.isNamed():
			return l, entries, found, err
		}
		l.Close() // the process that held the lock removed it meanwhile
	}
}

// read locks and reads a log.
func (l *Log) read(format string, first any) (entries []Entry, found bool, err error) {
	taken, err := tryLock(l.f)
	switch {
	case err != nil:
		return nil, false, fault.Local(err)
	case taken:
		return nil, false, (&fault.Error{Kind: problem.Conflict, Err: ErrTaken}).WithHint("wait for it, or stop it")
	}
	data, err := io.ReadAll(io.LimitReader(l.f, maxLog+1))
	switch {
	case err != nil:
		return nil, false, fault.Local(err)
	case len(data) == 0:
		return nil, false, nil
	case len(data) > maxLog:
		return nil, false, ErrUnreadable
	}
	entries, err = Parse(data, format, first)
	if e, ok := errors.AsType[*fault.Error](err); ok {
		e.Item = filepath.Join(l.in.Name(), l.name)
	}
	if err != nil {
		return entries, false, err
	}
	// Drop a torn last line, so that the next one does not continue it.
	return entries, true, fault.Local(l.f.Truncate(int64(bytes.LastIndexByte(data, '\n') + 1)))
}

// Parse parses the content of a log: the first line into first, and the others as entries. A torn last line is ignored.
func Parse(data []byte, format string, first any) ([]Entry, error) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if last := len(lines) - 1; !bytes.HasSuffix(lines[last], []byte("\n")) {
		lines = lines[:last] // empty, or torn
	}
	var h Head
	if len(lines) == 0 || json.Unmarshal(lines[0], &h) != nil || h.Format != format {
		return nil, ErrUnreadable
	}
	if h.Version > Version {
		return nil, (&fault.Error{Kind: problem.Conflict, Err: fmt.Errorf("%w (version %d)", ErrNewer, h.Version)}).
			WithHint("use that version of s3ctl, or remove the file to start from the beginning")
	}
	if json.Unmarshal(lines[0], first) != nil {
		return nil, ErrUnreadable
	}
	var entries []Entry
	for _, line := range lines[1:] {
		var e Entry
		if json.Unmarshal(line, &e) != nil {
			return nil, ErrUnreadable
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Begin truncates the log and writes its first line.
func (l *Log) Begin(first any) error {
	if l == nil {
		return nil
	}
	if err := l.f.Truncate(0); err != nil {
		return fault.Local(err)
	}
	return l.Add(first)
}

// Add appends a line in one write.
func (l *Log) Add(line any) error {
	if l == nil {
		return nil
	}
	data, err := json.Marshal(line)
	if err != nil {
		return fault.New(problem.Internal, "%v", err)
	}
	_, err = l.f.Write(append(data, '\n'))
	return fault.Local(err)
}

// Close closes and unlocks the log. It stays for a later run.
func (l *Log) Close() {
	if l != nil {
		_ = l.f.Close()
	}
}

// isNamed reports whether the open file is still the one at the log's name.
func (l *Log) isNamed() bool {
	there, err := l.in.Lstat(l.name)
	if err != nil {
		return false
	}
	mine, err := l.f.Stat()
	return err == nil && os.SameFile(mine, there)
}

// Remove deletes and closes the log.
func (l *Log) Remove() {
	if l != nil {
		_ = l.in.Remove(l.name)
		l.Close()
	}
}

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

// maxHead bounds the first line of a log, in bytes; a key and an address are far shorter.
const maxHead = 64 << 10

// Unfinished reports whether a file in a folder belongs to an unfinished download: a log, or the partial file of that
// log. The name alone is not enough: a file with such a name but without a log beside it is an ordinary one.
func Unfinished(dir, name string) bool {
	base, isLog := strings.CutSuffix(name, ".log")
	if !strings.HasPrefix(base, ".") || !strings.HasSuffix(base, ".part") {
		return false
	}
	if !isLog {
		// The log of a partial file must be a regular file.
		name += ".log"
	}
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxHead)).ReadBytes('\n')
	var h Head
	return err == nil && json.Unmarshal(line, &h) == nil && h.Format == Download
}
