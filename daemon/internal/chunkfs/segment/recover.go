package segment

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// Recover reads every segment, adds it to the table as closed, and seals those that were open when the previous process ended. It
// calls each with the records of one segment after the other, oldest first, while the next few are read, and keeps none of them;
// it counts no record as live: each passes them to Table.Wrote. It returns what was decoded from damaged headers.
//
// Damage does not stop it: what cannot be read is reported in the log and left out. It returns only errors that are
// unrelated to the disk.
func (l *Log) Recover(ctx context.Context, each func(*format.Segment)) (suspects []format.Record, err error) {
	entries, err := l.fs.ReadDir("segments")
	if err != nil {
		// Without the names the next segment could reuse the number of an existing one.
		_ = l.disk.Fail(err)
		return nil, l.disk.Unreadable("segments", err)
	}
	r := recovery{Log: l, each: each}
	var files []file
	for _, e := range entries {
		number, ok := parseName(e.Name)
		if !ok {
			l.log.Warn("not a segment, ignored", "name", "segments/"+e.Name)
			continue
		}
		files = append(files, file{number: number})
		if number&spareBit == 0 {
			l.next = number
		} else {
			l.spare.next = number
		}
	}
	for i := range files {
		files[i].newest = files[i].number == l.next || files[i].number == l.spare.next
	}
	for next := range readAhead(l.fs, files) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.add(next); err != nil {
			return nil, err
		}
	}
	l.next++
	l.spare.next++
	return r.suspects, nil
}

func parseName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	n, err := strconv.ParseUint(digits, 16, 32)
	return uint32(n), ok && err == nil && n&^spareBit > 0 && len(digits) == 8
}

// recovery is a Recover in progress.
type recovery struct {
	*Log
	each     func(*format.Segment)
	suspects []format.Record
}

// add adds a segment that was read to the table as closed. A segment in which nothing was
// ever acknowledged is removed.
func (r *recovery) add(file *file) error {
	number, read, err := file.number, &file.read, file.err
	name := Name(number)
	if err == nil && disk.Passes(read.Damage.Cause) {
		err = read.Damage.Cause
	}
	switch {
	case err != nil:
		return r.disk.Unreadable(name, err)
	case read.Foreign:
		r.log.Warn("the segment has the header of another number, ignored", "segment", name)
		return nil
	}
	seg := New(number, read.Salt)
	seg.closed, seg.size = true, read.End
	isSpare := number&spareBit != 0
	switch {
	case isSpare && file.newest && r.resumeSpare(seg, read):
		// it is in the table, and its bytes are counted when it is closed
	case read.Len() == 0 && !read.Damage.Any():
		return r.dropEmpty(number, file.newest)
	default:
		r.space.Add(seg.size)
		if err := r.finish(seg, read); err != nil {
			return err
		}
		r.table.Add(seg)
	}
	if read.Damage.Any() {
		r.report(seg, &read.Damage)
	}
	r.each(read)
	return nil
}

// report logs the damage of a segment. Chunks with bad data are found by reading them; all
// other damage prevents the segment from being rewritten.
func (r *recovery) report(seg *Segment, d *format.Damage) {
	r.log.Warn("damage found in a segment; its readable chunks are served", "segment", Name(seg.Number),
		"unreadable bytes", d.Unreadable, "lost records", d.Lost, "damaged chunks", d.BadData)
	if d.Unreadable > 0 || d.Lost > 0 {
		r.table.Damage(seg, strconv.Itoa(d.Lost)+" records lost, "+strconv.FormatInt(d.Unreadable, 10)+" bytes unreadable at start")
	}
	r.suspects = append(r.suspects, d.Suspects...)
}

// finish seals a segment that was open when the previous process ended: torn writes are
// overwritten with zeros, so that no later scan reports them as damage, and index and footer
// are written. A segment with lost records gets no index, so that later starts scan it again.
func (l *Log) finish(seg *Segment, read *format.Segment) error {
	clean := read.Damage.Lost == 0 && read.Damage.Unreadable == 0
	if read.Whole || !clean && len(read.Torn) == 0 || l.disk.Check() != nil {
		return nil
	}
	l.log.Info("segment was open; closed after its last complete record", "segment", Name(seg.Number), "records", read.Len(), "end", seg.size)
	if n := len(read.Torn); n > 0 {
		l.log.Warn("the last write to a segment was interrupted: its incomplete records were not acknowledged and are dropped",
			"segment", Name(seg.Number), "places", n, "from", read.Torn[0].From, "to", read.Torn[n-1].To)
	}
	var lines []byte
	for rec := range read.All() {
		lines = format.AppendIndexEntry(lines, rec)
	}
	err := l.withWritable(seg, func(f vfs.File) error {
		if err := zeroTorn(f, read.Torn, read.End, l.zeros, !clean); err != nil {
			return err
		}
		if !clean {
			return f.Datasync()
		}
		return writeSegmentEnd(seg, f, lines, seg.size)
	})
	return l.judgeStartup(err)
}

// judgeStartup handles the error of a change at start. It returns only errors that are unrelated to the disk.
func (l *Log) judgeStartup(err error) error {
	switch {
	case err == nil:
	case disk.Passes(err):
		return err
	case disk.IsFull(err): // the next start distinguishes torn writes from damage again
		_ = l.disk.Full(store.ChunkID{}, err)
	default:
		_ = l.disk.Fail(err)
	}
	return nil
}

// withWritable opens a segment's file for writing, for one step.
func (l *Log) withWritable(seg *Segment, step func(vfs.File) error) error {
	f, err := l.fs.Open(Name(seg.Number))
	if err != nil {
		return err
	}
	return errors.Join(step(f), f.Close())
}

// zeroTorn writes zeros over the torn ranges before end, and over those behind it if behind is set.
func zeroTorn(f vfs.File, torn []format.Span, end int64, zeros []byte, behind bool) error {
	for _, t := range torn {
		if t.From >= end && !behind {
			continue
		}
		for at := t.From; at < t.To; {
			n := min(t.To-at, int64(len(zeros)))
			if _, err := f.WriteAt(zeros[:n], at); err != nil {
				return err
			}
			at += n
		}
	}
	return nil
}

// resumeSpare continues to use the spare segment of the previous process. False for one that
// was sealed, is damaged, or was never complete.
func (l *Log) resumeSpare(seg *Segment, read *format.Segment) bool {
	sp := &l.spare
	if sp.size == 0 || read.Whole || read.Salt == 0 || read.Damage.Any() || l.disk.TakesNothing() {
		return false
	}
	f, err := l.table.files.openWith(func() (vfs.File, error) { return l.fs.Open(Name(seg.Number)) })
	if err != nil {
		return false
	}
	size, err := f.Size()
	ready := err == nil && size >= sp.size
	if ready {
		if err = zeroTorn(f, read.Torn, read.End, l.zeros, true); err == nil {
			err = f.Datasync()
		}
		_ = l.judgeStartup(err) // the store works without a spare
	}
	if !ready || err != nil {
		_ = f.Close()
		l.table.files.forget()
		return false
	}
	seg.closed = false
	l.table.addOpen(seg, f)
	sp.seg, sp.file, sp.end, sp.index = seg, f, read.End, nil
	for rec := range read.All() {
		sp.batch = max(sp.batch, rec.Batch)
		sp.index = format.AppendIndexEntry(sp.index, rec)
	}
	return true
}

// dropEmpty removes a segment without a complete record if it was the active one, whose
// first write was interrupted. Any other is kept for an operator to examine.
func (l *Log) dropEmpty(number uint32, newest bool) error {
	if !newest && number&spareBit == 0 {
		l.log.Warn("no record of this segment can be read, ignored", "segment", Name(number))
		return nil
	}
	if l.disk.TakesNothing() {
		return nil
	}
	if err := l.fs.Remove(Name(number)); err != nil {
		_ = l.disk.Judge(store.ChunkID{}, err)
	}
	return nil
}
