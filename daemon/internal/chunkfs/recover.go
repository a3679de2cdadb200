package chunkfs

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// recover brings the directory to a known state and fills the index. What it
// shows it has made durable before: a process that was killed may have left
// names and bytes that only the page cache knows.
//
// Nothing that the disk does not give, and nothing that it does not take, stops
// it: that part is reported and left out, or the store takes no changes. Only
// trouble that says nothing about the disk is an error, since a start without
// what is there would be taken for its loss.
func (s *Store) recover(ctx context.Context) error {
	s.prepare()
	for _, step := range []func(context.Context) error{s.emptyTmp, s.readSegments, s.readFolders} {
		if err := step(ctx); err != nil {
			return translate("Open", store.ChunkID{}, err)
		}
	}
	if s.disk.check() == nil {
		_ = s.log.renewSpare() // the state of the disk tells why not
	}
	return nil
}

// prepare makes the folders.
func (s *Store) prepare() {
	for _, dir := range []string{"chunks", "segments", "tmp"} {
		if err := s.fs.MkdirAll(dir); err != nil {
			_ = s.disk.judge(store.ChunkID{}, err)
		}
	}
	s.syncDir(".")
}

// syncDir makes the names in a directory durable, or the store read-only.
func (s *Store) syncDir(dir string) {
	if err := s.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = s.disk.fail(err)
	}
}

// unreadable handles what the disk does not give at start: it is reported and left out.
func (s *Store) unreadable(name string, err error) error {
	if passes(err) {
		return err
	}
	s.cfg.Log.Error("part of the data directory cannot be read; what is in it is missing here", "name", name, "cause", err)
	return nil
}

// emptyTmp removes what writers left.
func (s *Store) emptyTmp(context.Context) error {
	left, err := s.fs.ReadDir("tmp")
	if err != nil {
		return s.unreadable("tmp", err)
	}
	for _, e := range left {
		if err := s.fs.Remove("tmp/" + e.Name); err != nil {
			_ = s.disk.judge(store.ChunkID{}, err)
			return nil
		}
	}
	return nil
}

// readSegments reads every segment, seals what was open, and works out what is live.
func (s *Store) readSegments(ctx context.Context) error {
	entries, err := s.fs.ReadDir("segments")
	if err != nil {
		// Without the names the next segment could get the number of one that is there.
		_ = s.disk.fail(err)
		return s.unreadable("segments", err)
	}
	r := recovery{s: s}
	var numbers []uint32
	for _, e := range entries {
		number, ok := parseSegmentName(e.Name)
		if !ok {
			s.cfg.Log.Warn("not a segment, left alone", "name", "segments/"+e.Name)
			continue
		}
		numbers = append(numbers, number)
		if number&spareBit == 0 {
			s.log.next = number
		} else {
			s.log.spare.next = number
		}
	}
	newest, newestSpare := s.log.next, s.log.spare.next
	for _, number := range numbers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.read(number, number == newest || number == newestSpare); err != nil {
			return err
		}
	}
	r.apply()
	s.log.next++
	s.log.spare.next++
	return nil
}

func parseSegmentName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	n, err := strconv.ParseUint(digits, 16, 32)
	return uint32(n), ok && err == nil && n&^spareBit > 0 && len(digits) == 8
}

// recovery is what the segments say, while they are read.
type recovery struct {
	s        *Store
	records  [][]form.Record // by segment, oldest first
	suspects []form.Record   // of damaged headers
}

// read opens one segment and puts it into the table, closed. One in which nothing
// was ever acknowledged is removed.
func (r *recovery) read(number uint32, newest bool) error {
	s, name := r.s, segmentName(number)
	f, err := s.fs.OpenRead(name)
	if err != nil {
		return s.unreadable(name, err)
	}
	read, err := form.LoadSegment(f, number, newest)
	if err == nil && passes(read.Damage.Cause) {
		err = read.Damage.Cause
	}
	switch {
	case err != nil:
		_ = f.Close()
		return s.unreadable(name, err)
	case read.Foreign:
		s.cfg.Log.Warn("this is the segment of another number, left alone", "segment", name)
		return f.Close()
	}
	seg := newSegment(number, read.Salt, f)
	seg.closed, seg.size = true, read.End
	isSpare := number&spareBit != 0
	switch {
	case isSpare && newest && s.resumeSpare(seg, &read):
		// its bytes count when it is closed
	case len(read.Records) == 0 && !read.Damage.Any():
		_ = f.Close()
		return s.dropEmpty(number, newest)
	default:
		s.space.add(seg.size)
		if err := s.finish(seg, &read); err != nil {
			_ = f.Close()
			return err
		}
	}
	s.table.add(seg)
	if read.Damage.Any() {
		r.report(seg, &read.Damage)
	}
	r.records = append(r.records, read.Records)
	return nil
}

// report marks a damaged segment. A chunk whose data rotted is found by reading;
// everything else keeps the segment from being rewritten.
func (r *recovery) report(seg *segment, d *form.Damage) {
	r.s.cfg.Log.Warn("damage found in a segment; what can be read is served", "segment", segmentName(seg.number),
		"unreadable bytes", d.Unreadable, "lost records", d.Lost, "damaged chunks", d.Rotten)
	if d.Unreadable > 0 || d.Lost > 0 {
		r.s.table.damage(seg, strconv.Itoa(d.Lost)+" records lost, "+strconv.FormatInt(d.Unreadable, 10)+" bytes unreadable at start")
	}
	r.suspects = append(r.suspects, d.Suspects...)
}

// finish ends a segment that was open when the process before ended: what was
// cut is wiped, so that it is not taken for damage later, and index and footer
// are written. One with lost records gets no index: it stays as it is for a closer look.
func (s *Store) finish(seg *segment, read *form.Segment) error {
	clean := read.Damage.Lost == 0 && read.Damage.Unreadable == 0
	if read.Whole || !clean && len(read.Torn) == 0 || s.disk.check() != nil {
		return nil
	}
	s.cfg.Log.Info("segment was open, closed it after the last whole record", "segment", segmentName(seg.number), "records", len(read.Records), "end", seg.size)
	if n := len(read.Torn); n > 0 {
		s.cfg.Log.Warn("the last write to a segment was cut: what of it is not whole was not acknowledged, and is dropped",
			"segment", segmentName(seg.number), "places", n, "from", read.Torn[0].From, "to", read.Torn[n-1].To)
	}
	var lines []byte
	for i := range read.Records {
		lines = form.AppendIndexEntry(lines, &read.Records[i])
	}
	err := s.withWritable(seg, func(f vfs.File) error {
		if err := wipe(f, read.Torn, read.End, s.log.zeros, !clean); err != nil {
			return err
		}
		if !clean {
			return f.Datasync()
		}
		return writeSegmentEnd(seg, f, lines, seg.size)
	})
	return s.mend(err)
}

// mend judges an error of a change at start. It returns those that say nothing about the disk.
func (s *Store) mend(err error) error {
	switch {
	case err == nil:
	case passes(err):
		return err
	case isFull(err): // what was to be cut is told from damage again at the next start
		_ = s.disk.full(store.ChunkID{}, err)
	default:
		_ = s.disk.fail(err)
	}
	return nil
}

// withWritable opens a segment's file for writing, for one step.
func (s *Store) withWritable(seg *segment, step func(vfs.File) error) error {
	f, err := s.fs.Open(segmentName(seg.number))
	if err != nil {
		return err
	}
	return errors.Join(step(f), f.Close())
}

// wipe writes zeros over what was cut before the end, and behind it where asked to.
func wipe(f vfs.File, torn []form.Span, end int64, zeros []byte, behind bool) error {
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

// resumeSpare takes the spare segment of the process before into use. False for
// one that was sealed, is damaged, or was never whole.
func (s *Store) resumeSpare(seg *segment, read *form.Segment) bool {
	sp := &s.log.spare
	size, err := seg.file.Size()
	if err != nil || sp.size == 0 || size < sp.size || read.Whole || read.Salt == 0 || read.Damage.Any() || s.disk.takesNothing() {
		return false
	}
	f, err := s.fs.Open(segmentName(seg.number))
	if err != nil {
		return false
	}
	err = wipe(f, read.Torn, read.End, s.log.zeros, true)
	if err == nil {
		err = f.Datasync()
	}
	if err != nil {
		_ = f.Close()
		_ = s.mend(err) // without it there is just no spare
		return false
	}
	seg.closed = false
	sp.seg, sp.file, sp.end, sp.index = seg, f, read.End, nil
	for i := range read.Records {
		rec := &read.Records[i]
		sp.batch = max(sp.batch, rec.Batch)
		sp.index = form.AppendIndexEntry(sp.index, rec)
	}
	return true
}

// dropEmpty removes a segment in which no record is whole: the active one,
// whose first write was cut. Any other is left for a person to look at.
func (s *Store) dropEmpty(number uint32, newest bool) error {
	if !newest && number&spareBit == 0 {
		s.cfg.Log.Warn("no record of this segment can be read, left alone", "segment", segmentName(number))
		return nil
	}
	if s.disk.takesNothing() {
		return nil
	}
	if err := s.fs.Remove(segmentName(number)); err != nil {
		_ = s.disk.judge(store.ChunkID{}, err)
	}
	return nil
}

// apply fills the index with the records of all segments, oldest first, and
// takes out what tombstones name.
func (r *recovery) apply() {
	s := r.s
	for _, recs := range r.records {
		for i := range recs {
			rec := &recs[i]
			s.table.wrote(s.table.all[rec.At.Seg], rec)
			if rec.Kind == form.KindChunk {
				r.show(rec)
			}
		}
	}
	dead := map[form.Place]bool{} // of the suspects
	for i := range r.suspects {
		dead[r.suspects[i].At] = false
	}
	for _, recs := range r.records {
		for i := range recs {
			if rec := &recs[i]; rec.Kind == form.KindTombstone && s.table.saltOf(rec.Target.Seg) == rec.TargetSalt {
				if _, ok := dead[rec.Target]; ok {
					dead[rec.Target] = true
				}
				r.hide(rec)
			}
		}
	}
	for i := range r.suspects {
		if rec := &r.suspects[i]; rec.Kind == form.KindTombstone {
			r.suspectTombstone(rec)
		}
	}
	for _, e := range s.index.promote() {
		s.table.revived(e)
	}
	for i := range r.suspects {
		if rec := &r.suspects[i]; rec.Kind == form.KindChunk && !dead[rec.At] {
			r.suspectChunk(rec)
		}
	}
}

func (r *recovery) show(rec *form.Record) {
	if before, was := r.s.index.put(rec.Info.ID, entryOf(rec)); was {
		r.s.index.addShadow(rec.Info.ID, before)
		r.s.table.died(before)
	}
}

func (r *recovery) hide(rec *form.Record) {
	if gone, was := r.s.index.removeAt(rec.Info.ID, rec.Target); was {
		r.s.table.died(gone)
	}
}

// suspectTombstone handles a deletion whose header does not verify. Where it names
// a chunk and a place, and just that chunk lies at just that place, what is damaged
// is something else in it: the chunk was deleted. Otherwise the deletion is lost,
// and what was deleted is back; that is reported, and is garbage at worst.
func (r *recovery) suspectTombstone(rec *form.Record) {
	s := r.s
	e, ok := s.index.find(rec.Info.ID, nil)
	_, shadow := s.index.shadowAt(rec.Info.ID, rec.Target)
	if s.table.saltOf(rec.Target.Seg) == rec.TargetSalt && (shadow || ok && e.place() == rec.Target) {
		r.hide(rec)
		s.cfg.Log.Warn("a damaged deletion was still clear, the chunk stays deleted", "segment", segmentName(rec.At.Seg), "offset", rec.At.Off, "chunk", rec.Info.ID)
		return
	}
	s.cfg.Log.Warn("a deletion cannot be read; the chunk that it deleted may be back", "segment", segmentName(rec.At.Seg), "offset", rec.At.Off, "chunk, unproven", rec.Info.ID)
}

// suspectChunk shows a chunk whose record's header does not verify, so that it
// reads as damaged and is repaired, and is not just missing.
func (r *recovery) suspectChunk(rec *form.Record) {
	s := r.s
	if _, ok := s.index.find(rec.Info.ID, nil); ok || rec.Info.ID == (store.ChunkID{}) {
		return
	}
	s.cfg.Log.Warn("the header of a chunk is damaged", "segment", segmentName(rec.At.Seg), "offset", rec.At.Off, "chunk, unproven", rec.Info.ID)
	e := entryOf(rec)
	s.index.put(rec.Info.ID, e)
	s.table.revived(e)
}

// readFolders finds the chunk files.
func (s *Store) readFolders(ctx context.Context) error {
	folders, err := s.fs.ReadDir("chunks")
	if err != nil {
		for i := range s.folders.dark {
			s.folders.dark[i] = true
		}
		return s.unreadable("chunks", err)
	}
	s.syncDir("chunks")
	for _, folder := range folders {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := strconv.ParseUint(folder.Name, 16, 8)
		if err != nil || len(folder.Name) != 2 || !folder.Dir {
			s.cfg.Log.Warn("not a folder of chunks, left alone", "name", "chunks/"+folder.Name)
			continue
		}
		if err := s.readFolder("chunks/"+folder.Name, byte(n)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readFolder(dir string, first byte) error {
	entries, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil { // its files are found by their names
		s.folders.dark[first] = true
		return s.unreadable(dir, err)
	}
	s.syncDir(dir)
	s.folders.made[first].Store(true)
	for _, e := range entries {
		id, err := store.ParseChunkID(e.Name)
		if err != nil || id.Part[0] != first || e.Dir {
			s.cfg.Log.Warn("not a chunk file, left alone", "name", dir+"/"+e.Name)
			continue
		}
		s.space.add(e.Size)
		if before, was := s.index.put(id, entry{}); was { // a lost deletion brought it back
			s.index.addShadow(id, before)
			s.table.died(before)
		}
	}
	return nil
}
