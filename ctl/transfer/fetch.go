package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/minio/crc64nvme"
	"golang.org/x/sync/errgroup"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// fetch is the download of a large file in ranges.
//
// The bytes are written to ".name.part" beside the target, which has its full size from the start; ".name.part.log" records
// which ranges have arrived, and their checksums. Both are readable and writable by the user only, and are removed when the
// file is complete. If one of these names belongs to a file that this package cannot have created, the bytes are written
// to a random name instead and no log is kept.
type fetch struct {
	resumable
	file rest.File
	at   localfile.Target
	part string // name of the file that fills up
	f    *os.File
	head fetchHead
}

// logSuffix is appended to the name of a partial file for that of its log.
const logSuffix = ".log"

// fetchHead is the first line of a download's log: it identifies the download.
type fetchHead struct {
	journal.Head
	Endpoint string `json:"endpoint"`
	FileID   string `json:"file_id"`
	Size     int64  `json:"size"`
	CRC      string `json:"crc64nvme"`
}

// getParts fetches a file in ranges. Ranges that an earlier run fetched are kept if the bytes on disk still have their checksums.
func (m *Manager) getParts(ctx context.Context, file rest.File, t localfile.Target) error {
	g := &fetch{resumable: resumable{m: m, path: t.Path}, file: file, at: t, part: t.PartName(len(logSuffix))}
	if err := t.MkdirParent(); err != nil {
		return err
	}
	if err := g.open(ctx); err != nil {
		return err
	}
	defer g.close()
	err := g.run(ctx)
	if err == nil {
		err = g.finish()
	}
	switch {
	case err == nil:
		return nil
	case g.log == nil:
		g.discard() // no other run would find it
		return err
	case fault.KindOf(err) == problem.NotFound && ctx.Err() == nil:
		g.discard()
		return fault.New(problem.Conflict, "the object was replaced or removed while it was fetched").WithHint("run the same command again to fetch what is there now")
	case fault.KindOf(err) == problem.NoSpace:
		err = &fault.Error{Kind: problem.NoSpace, Err: err, Hint: "free some space, or remove " + g.part + " and its .log"}
	}
	return g.stopped(ctx, err)
}

// open opens both files and determines which ranges they already hold.
func (g *fetch) open(ctx context.Context) error {
	entries, found, err := g.openBoth()
	switch {
	case errors.Is(err, journal.ErrForeign):
		g.note("%v; the bytes are written under another name, and this download cannot be resumed", err)
		g.part = g.at.TempName()
		if g.f, err = g.at.Root.OpenFile(g.part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
			return fault.Local(err)
		}
		return g.begin()
	case errors.Is(err, journal.ErrUnreadable):
		g.note("%v; starting from the beginning", err)
	case err != nil:
		return err
	}
	if found && (g.head.FileID != g.file.FileID || g.head.Endpoint != g.m.Client.Endpoint()) {
		g.note("the object was replaced since its download was interrupted; starting from the beginning")
		found = false
	}
	if !found || g.head.Size != g.file.Size {
		return g.begin()
	}
	return g.verifyExisting(ctx, entries)
}

// openBoth opens and locks the log, then opens the file. If either is journal.ErrForeign, both are left alone.
func (g *fetch) openBoth() (entries []journal.Entry, found bool, err error) {
	g.log, entries, found, err = journal.Open(g.at.Root, g.part+logSuffix, journal.Download, &g.head)
	if g.log == nil {
		return nil, false, err
	}
	// The lock on the log also covers the bytes: a process that held it before has renamed its file into place.
	part, failed := journal.OpenOwn(g.at.Root, g.part, 0)
	if failed != nil {
		g.log.Remove()
		g.log = nil
		return nil, false, failed
	}
	g.f = part
	return entries, found, err
}

// begin starts the download from the beginning.
func (g *fetch) begin() error {
	g.head = fetchHead{
		Head: journal.Head{Format: journal.Download, Version: journal.Version}, Endpoint: g.m.Client.Endpoint(), FileID: g.file.FileID, Size: g.file.Size,
		CRC: g.file.Checksums.CRC64NVME,
	}
	g.progress = newPieces(g.file.Size, 1)
	err := g.log.Begin(g.head)
	if err == nil {
		err = localfile.Reset(g.f, g.file.Size)
	}
	if err != nil {
		g.discard() // nothing has arrived yet
		g.close()
	}
	return err
}

// verifyExisting reads what an earlier run fetched and compares checksums: the machine may have crashed before
// the bytes reached the disk, or another program may have changed the file since.
func (g *fetch) verifyExisting(ctx context.Context, entries []journal.Entry) error {
	g.progress = newPieces(g.head.Size, 1)
	err := fault.Local(g.f.Truncate(g.head.Size)) // missing bytes become a hole, surplus ones are dropped
	if err == nil {
		for _, e := range slices.Backward(entries) { // of ranges that overlap, the one that arrived last counts
			if crc, failed := checksum.Decode(e.CRC); failed == nil {
				g.progress.add(piece{span{e.Offset, e.Size}, crc})
			}
		}
		err = g.compare(ctx)
	}
	if err != nil {
		g.close()
		return err
	}
	g.resuming()
	return nil
}

// compare reads the ranges that have arrived from disk, and drops those with another checksum.
func (g *fetch) compare(ctx context.Context) error {
	return eachSum(ctx, g.f, g.progress.arrived(), func(one piece, got uint64, whole bool) {
		if one.crc != got || !whole {
			g.progress.drop(one.off)
		}
	})
}

// eachSum computes the CRC64NVME of ranges of a file on all processors. It calls done for each, concurrently from several
// goroutines; whole is false if the file ended within the range.
func eachSum(ctx context.Context, f io.ReaderAt, ranges []piece, done func(one piece, crc uint64, whole bool)) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, one := range ranges {
		group.Go(func() error {
			crc, read, err := localfile.Sum(reading, io.NewSectionReader(f, one.off, one.n))
			if err == nil {
				done(one, crc, read == one.n)
			}
			return err
		})
	}
	err := group.Wait()
	return cmp.Or(ctx.Err(), fault.Local(err))
}

// sumFile computes the CRC64NVME of the first size bytes of a file; short reports that the file has fewer.
func sumFile(ctx context.Context, f io.ReaderAt, size int64) (crc uint64, short bool, err error) {
	const least = 4 * mib // smaller pieces are not worth a goroutine
	each := max(size/int64(runtime.GOMAXPROCS(0))+1, least)
	all, sums := []piece{}, newPieces(size, 1)
	for off := int64(0); off < size; off += each {
		all = append(all, piece{span: span{off, min(each, size-off)}})
	}
	err = eachSum(ctx, f, all, func(one piece, crc uint64, whole bool) {
		if whole {
			sums.add(piece{one.span, crc})
		}
	})
	crc, whole := sums.whole()
	return crc, !whole, err
}

// run fetches what is missing until the bytes on disk are synced and have the checksum of the file.
func (g *fetch) run(ctx context.Context) error {
	const rounds = 2
	for round := 1; ; round++ {
		if err := g.m.each(ctx, g.progress, g.m.Sizes.share(g.file.Size, mib, g.m.Lanes.most), g.fetchSpan); err != nil {
			return err
		}
		if err := g.verify(ctx); err != nil {
			return err
		}
		crc, whole := g.progress.whole()
		got := checksum.Encode(crc)
		if whole && got == g.file.Checksums.CRC64NVME {
			return nil
		}
		if round == rounds {
			g.discard()
			return fault.New(problem.Corrupt, "the bytes that arrived have the checksum %s, but the file has %s", got, g.file.Checksums.CRC64NVME).
				WithHint("try again; if it happens again, see where the bytes are stored: s3ctl stat")
		}
		if !whole {
			g.note("%s changed on disk after they arrived; fetching those again", humanize.IBytes(uint64(g.file.Size-g.progress.bytes())))
			continue
		}
		g.note("the checksum of the file does not match; fetching all of it again")
		g.m.Meter.Moved(-g.progress.bytes())
		g.progress.reset()
		if err := g.log.Begin(g.head); err != nil {
			return err
		}
	}
}

// verify syncs the file and reads it back at the same time: what counts is what is on disk, not what was received.
func (g *fetch) verify(ctx context.Context) error {
	synced := make(chan error, 1)
	go func() { synced <- g.f.Sync() }()
	before := g.progress.bytes()
	err := g.compare(ctx)
	g.m.Meter.Moved(g.progress.bytes() - before)
	return cmp.Or(err, fault.Local(<-synced))
}

// fetchSpan fetches a span and writes it within that span only. What arrives is recorded on the way, and is kept when the rest does
// not arrive. It returns the rest.
func (g *fetch) fetchSpan(ctx context.Context, s span, first *lane) (rest span, err error) {
	rest = s
	err = g.m.try(ctx, first, s.n, func(ctx context.Context, _ *lane) error {
		if rest.n == 0 {
			return nil // all of it came before the failure
		}
		out := &arriving{g: g, at: rest.off, from: rest.off, sum: crc64nvme.New(), last: time.Now()}
		within := &bounded{w: out, most: rest.n}
		moved := &metered{m: g.m}
		err := g.m.receive(ctx, g.file, &client.Range{First: rest.off, Last: rest.end() - 1}, within, moved)
		if err == nil {
			err = arrived(within.n, rest.n)
		}
		if fault.KindOf(err) == problem.Corrupt {
			out.at = out.from // what came with an answer that is wrong is not kept
		}
		failed := out.keep()
		g.m.Meter.Moved(out.from - rest.off - moved.n)
		rest = span{out.from, s.end() - out.from}
		return cmp.Or(err, failed)
	})
	return rest, err
}

// arriving writes what arrives of a span, and records it in ranges.
type arriving struct {
	g    *fetch
	at   int64  // offset of the next byte
	from int64  // where the next range begins
	sum  crcSum // of the bytes between
	last time.Time
}

// crcSum is a CRC64NVME.
type crcSum interface {
	io.Writer
	Sum64() uint64
	Reset()
}

// A range is recorded after keepBytes, or after keepTime if it is long enough for the log of a huge file to stay short.
const (
	keepBytes = 8 * mib
	keepTime  = time.Second
)

// Write implements io.Writer.
func (a *arriving) Write(p []byte) (int, error) {
	n, err := a.g.f.WriteAt(p, a.at)
	_, _ = a.sum.Write(p[:n])
	a.at += int64(n)
	if err != nil {
		return n, err
	}
	long := a.at - a.from
	if long >= max(keepBytes, a.g.file.Size/maxParts) || time.Since(a.last) >= keepTime && long >= max(256<<10, a.g.file.Size/(2*maxParts)) {
		err = a.keep()
	}
	return n, err
}

// keep records what was written since the last range.
func (a *arriving) keep() error {
	a.last = time.Now()
	if a.at == a.from {
		return nil
	}
	one := piece{span{a.from, a.at - a.from}, a.sum.Sum64()}
	a.g.progress.record(one)
	a.from = a.at
	a.sum.Reset()
	return a.g.log.Add(journal.Entry{Offset: one.off, Size: one.n, CRC: checksum.Encode(one.crc)})
}

// finish renames the synced file to the target.
func (g *fetch) finish() error {
	err := g.at.CopyAttributes(g.f)
	if err == nil {
		err = g.at.Place(g.f, g.part, g.file.Size, modified(g.file))
	}
	if err == nil {
		err = g.at.Sync()
	}
	if err == nil {
		g.log.Remove()
		g.log = nil
	}
	return err
}

// discard removes the partial file and its log.
func (g *fetch) discard() {
	_ = g.at.Root.Remove(g.part)
	g.log.Remove()
}

func (g *fetch) close() {
	_ = g.f.Close()
	g.log.Close()
}
