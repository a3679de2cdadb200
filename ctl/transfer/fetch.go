package transfer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

// fetch is a large file on its way from the server, in ranges.
//
// The bytes go to ".name.part" beside the target, which has its whole size from the
// start, and ".name.part.log" tells which ranges have arrived with which checksum. Both are there
// until the file is complete, and are gone with it.
type fetch struct {
	m     *Mover
	file  rest.File
	root  *os.Root
	path  string
	part  string // name of the file that fills up
	f     *os.File
	log   *log
	head  fetchHead
	tally *tally
}

// fetchHead is the first line of a download's log: what is being fetched.
type fetchHead struct {
	head
	Endpoint string `json:"endpoint"`
	FileID   string `json:"file_id"`
	Size     int64  `json:"size"`
	CRC      string `json:"crc64nvme"`
	PartSize int64  `json:"part_size"`
}

const fetchFormat = "s3ctl download"

// getParts fetches a file in ranges. What an earlier run has brought over, and is still whole, is not fetched again.
func (m *Mover) getParts(ctx context.Context, file rest.File, root *os.Root, path string) error {
	g := &fetch{m: m, file: file, root: root, path: path, part: partName(path)}
	if err := g.open(ctx); err != nil {
		return err
	}
	defer g.close()
	err := g.run(ctx)
	if err == nil {
		return g.finish()
	}
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx, g.tally)
	case fault.KindOf(err) == "not_found":
		g.discard()
		return fault.New("conflict", "the object was replaced or removed while it was fetched").WithHint("run the same command again to fetch what is there now")
	case fault.ExitOf(err) == fault.Unavailable || fault.ExitOf(err) == fault.NoSpace:
		return g.later(err)
	}
	return err
}

// later adds to an error that may pass how to go on then.
func (g *fetch) later(err error) error {
	e := &fault.Error{Kind: fault.KindOf(err), Err: err}
	e.Hint = "run the same command again to go on from here: " + g.tally.progress() + " are there"
	if e.Kind == "no_space" {
		e.Hint = "free some space, then " + e.Hint + "; or remove " + g.part + " and its .log"
	}
	return e
}

// open takes the two files, and finds out what they hold of this file.
func (g *fetch) open(ctx context.Context) (err error) {
	entries, found, err := g.openLog()
	if errors.Is(err, errGarbled) {
		g.m.note("%s: %v; starting anew", g.path, err)
		err = nil
	}
	if err != nil {
		return err
	}
	// Who has the log has the bytes: whoever had it before is through with giving them their name.
	if g.f, err = g.openFile(g.part, 0); err != nil {
		g.log.close()
		return err
	}
	if found && (g.head.FileID != g.file.FileID || g.head.Endpoint != g.m.Store.Endpoint()) {
		g.m.note("%s: the object was replaced since its download was interrupted; starting anew", g.path)
		found = false
	}
	if !found || g.head.Size != g.file.Size || g.head.PartSize < 1 {
		return g.begin()
	}
	return g.recall(ctx, entries)
}

// openLog takes the log for this process alone; see the function openLog.
func (g *fetch) openLog() (entries []entry, found bool, err error) {
	name := g.part + ".log"
	for {
		f, err := g.openFile(name, os.O_APPEND)
		if err != nil {
			return nil, false, err
		}
		g.log, entries, found, err = openLog(name, f, fetchFormat, &g.head)
		if g.log == nil || g.log.is(g.root.Lstat(name)) {
			return entries, found, err
		}
		g.log.close() // whoever had it removed it in between
	}
}

// openFile opens a regular file below the root, or makes it. A link is not followed.
func (g *fetch) openFile(name string, flag int) (*os.File, error) {
	if info, err := g.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fault.New("conflict", "%s, where the bytes are collected, is no regular file", name).WithHint("move it away")
	}
	f, err := g.root.OpenFile(name, os.O_CREATE|os.O_RDWR|flag, 0o666)
	return f, localFault(err)
}

// begin starts with nothing.
func (g *fetch) begin() error {
	g.head = fetchHead{
		head: head{fetchFormat, logVersion}, Endpoint: g.m.Store.Endpoint(), FileID: g.file.FileID, Size: g.file.Size,
		CRC: g.file.Checksums.CRC64NVME, PartSize: g.m.Sizes.part(g.file.Size, g.m.Lanes.most),
	}
	g.tally = newTally(cut{g.file.Size, g.head.PartSize})
	err := g.log.begin(g.head)
	if err == nil {
		err = localFault(g.f.Truncate(0))
	}
	if err == nil {
		err = localFault(preallocate(g.f, g.file.Size))
	}
	if err == nil {
		err = localFault(g.f.Truncate(g.file.Size))
	}
	if err != nil {
		g.discard() // there is nothing in it worth going on with
		g.close()
	}
	return err
}

// recall reads what an earlier run has fetched once more: the system may have gone down before
// it reached the disk, and nobody knows what else happened to the file.
func (g *fetch) recall(ctx context.Context, entries []entry) error {
	g.tally = newTally(cut{g.head.Size, g.head.PartSize})
	for i, want := range g.tally.known(entries) {
		off, n := g.tally.cut.span(i)
		got, err := sumOf(ctx, io.NewSectionReader(g.f, off, n))
		if ctx.Err() != nil {
			g.close()
			return ctx.Err()
		}
		if err == nil && got == want {
			g.tally.set(i, got)
		}
	}
	if err := g.f.Truncate(g.head.Size); err != nil { // nobody knows what happened to it since
		g.close()
		return localFault(err)
	}
	if bytes := g.tally.bytes(); bytes > 0 {
		g.m.note("%s: resuming, %s are there already", g.path, g.tally.progress())
		g.m.resumed(bytes)
	}
	return nil
}

// run fetches what is missing until the whole has its checksum.
func (g *fetch) run(ctx context.Context) error {
	const rounds = 2
	for round := 1; ; round++ {
		if err := g.m.eachPart(ctx, g.tally.missing(), g.fetchPart); err != nil {
			return err
		}
		got := checksum.Encode(g.tally.whole())
		if got == g.file.Checksums.CRC64NVME {
			return nil
		}
		if round == rounds {
			g.discard()
			return fault.New("corrupt", "the bytes that arrived have the checksum %s, but the file has %s", got, g.file.Checksums.CRC64NVME).
				WithHint("try again; if it stays, look where the bytes are: s3ctl stat")
		}
		g.m.note("%s: the checksum of the whole is wrong; fetching it once more", g.path)
		g.m.Meter.Moved(-g.tally.bytes())
		for i := range g.tally.cut.count() {
			g.tally.unset(i)
		}
		if err := g.log.begin(g.head); err != nil {
			return err
		}
	}
}

// fetchPart fetches one range, writes it to its place, and remembers it.
func (g *fetch) fetchPart(ctx context.Context, i int, first *lane) error {
	off, n := g.tally.cut.span(i)
	return g.m.tryFrom(ctx, first, n, func(ctx context.Context, _ *lane) (err error) {
		body, err := g.m.Store.Download(ctx, g.file.FileID, &client.Range{First: off, Last: off + n - 1})
		if err != nil {
			return err
		}
		defer body.Close()
		moved := &metered{meter: g.m.Meter}
		defer func() {
			if err != nil {
				moved.takeBack()
			}
		}()
		crc, err := copyOut(io.NewOffsetWriter(g.f, off), g.m.limited(ctx, body), moved)
		if err != nil {
			return err
		}
		if moved.n != n {
			return fault.New("corrupt", "%d bytes arrived where %d were asked for", moved.n, n).WithHint("try again")
		}
		g.tally.set(i, crc)
		return g.log.add(entry{i + 1, checksum.Encode(crc)})
	})
}

// finish gives the bytes their name once they are on the disk.
func (g *fetch) finish() error {
	err := g.f.Sync()
	if err == nil {
		setTime(g.root, g.part, g.file)
		err = g.root.Rename(g.part, g.path)
	}
	if err == nil {
		err = syncDir(g.root, filepath.Dir(g.path))
	}
	if err != nil {
		return localFault(err)
	}
	return localFault(g.root.Remove(g.part + ".log"))
}

// discard removes what was collected.
func (g *fetch) discard() {
	_ = g.root.Remove(g.part)
	_ = g.root.Remove(g.part + ".log")
}

func (g *fetch) close() {
	_ = g.f.Close()
	g.log.close()
}

// syncDir makes a renamed file's name durable.
func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

// setTime gives a fetched file the time of change that it had where it came from.
// Where that is not known, or the file system cannot keep it, it stays as it is.
func setTime(root *os.Root, name string, file rest.File) {
	if at, err := time.Parse(time.RFC3339Nano, file.Meta["mtime"]); err == nil {
		_ = root.Chtimes(name, at, at)
	}
}

// partName is where the bytes of a file collect: the same for every run.
func partName(path string) string {
	dir, name := filepath.Split(path)
	const suffix = ".part"
	for len(name)+1+len(suffix)+len(".log") > maxName {
		_, w := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-w]
	}
	return dir + "." + name + suffix
}
