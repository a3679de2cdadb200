package chunkfs

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// recover brings the directory to a known state and fills the index. Whatever becomes
// visible is made durable first: a killed process may have left names and bytes that exist
// only in the page cache.
//
// Failing reads and writes do not stop it: an unreadable part is reported and left out, and
// after a failed write the store accepts no changes. Only errors that are unrelated to the
// disk (passes) are returned, since a store without its chunks would report them as lost.
func (s *Store) recover(ctx context.Context) error {
	s.prepare()
	for _, step := range []func(context.Context) error{s.emptyTmp, s.readSegments, s.readFolders} {
		if err := step(ctx); err != nil {
			return translate("Open", store.ChunkID{}, err)
		}
	}
	if s.disk.check() == nil {
		_ = s.log.renewSpare() // s.disk records why it failed
	}
	return nil
}

// prepare creates the folders.
func (s *Store) prepare() {
	for _, dir := range []string{"chunks", "segments", "tmp"} {
		if err := s.fs.MkdirAll(dir); err != nil {
			_ = s.disk.judge(store.ChunkID{}, err)
		}
	}
	s.syncDir(".")
}

// syncDir makes the names in a directory durable. On failure the store becomes read-only.
func (s *Store) syncDir(dir string) {
	if err := s.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = s.disk.fail(err)
	}
}

// unreadable reports a part of the directory that cannot be read at start. It returns only
// errors that are unrelated to the disk.
func (s *Store) unreadable(name string, err error) error {
	if passes(err) {
		return err
	}
	s.cfg.Log.Error("part of the data directory cannot be read; the chunks in it are missing on this node", "name", name, "cause", err)
	return nil
}

// emptyTmp removes the files of unfinished writes.
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

// readSegments reads every segment, seals open ones, and computes which records are live.
func (s *Store) readSegments(ctx context.Context) error {
	entries, err := s.fs.ReadDir("segments")
	if err != nil {
		// Without the names the next segment could reuse the number of an existing one.
		_ = s.disk.fail(err)
		return s.unreadable("segments", err)
	}
	r := recovery{s: s}
	var numbers []uint32
	for _, e := range entries {
		number, ok := parseSegmentName(e.Name)
		if !ok {
			s.cfg.Log.Warn("not a segment, ignored", "name", "segments/"+e.Name)
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

// recovery collects the content of the segments while they are read.
type recovery struct {
	s        *Store
	records  [][]format.Record // by segment, oldest first
	suspects []format.Record   // decoded from damaged headers
}

// read opens one segment and adds it to the table as closed. A segment in which nothing was
// ever acknowledged is removed.
func (r *recovery) read(number uint32, newest bool) error {
	s, name := r.s, segmentName(number)
	f, err := s.fs.OpenRead(name)
	if err != nil {
		return s.unreadable(name, err)
	}
	read, err := format.LoadSegment(f, number, newest)
	if err == nil && passes(read.Damage.Cause) {
		err = read.Damage.Cause
	}
	switch {
	case err != nil:
		_ = f.Close()
		return s.unreadable(name, err)
	case read.Foreign:
		s.cfg.Log.Warn("the segment has the header of another number, ignored", "segment", name)
		return f.Close()
	}
	seg := newSegment(number, read.Salt, f)
	seg.closed, seg.size = true, read.End
	isSpare := number&spareBit != 0
	switch {
	case isSpare && newest && s.resumeSpare(seg, &read):
		// its bytes are counted when it is closed
	case len(read.Records) == 0 && !read.Damage.Any():
		_ = f.Close()
		return s.dropEmpty(number, newest)
	default:
		s.space.Add(seg.size)
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

// report logs the damage of a segment. Chunks with bad data are found by reading them; all
// other damage prevents the segment from being rewritten.
func (r *recovery) report(seg *segment, d *format.Damage) {
	r.s.cfg.Log.Warn("damage found in a segment; its readable chunks are served", "segment", segmentName(seg.number),
		"unreadable bytes", d.Unreadable, "lost records", d.Lost, "damaged chunks", d.BadData)
	if d.Unreadable > 0 || d.Lost > 0 {
		r.s.table.damage(seg, strconv.Itoa(d.Lost)+" records lost, "+strconv.FormatInt(d.Unreadable, 10)+" bytes unreadable at start")
	}
	r.suspects = append(r.suspects, d.Suspects...)
}

// finish seals a segment that was open when the previous process ended: torn writes are
// overwritten with zeros, so that no later scan reports them as damage, and index and footer
// are written. A segment with lost records gets no index, so that later starts scan it again.
func (s *Store) finish(seg *segment, read *format.Segment) error {
	clean := read.Damage.Lost == 0 && read.Damage.Unreadable == 0
	if read.Whole || !clean && len(read.Torn) == 0 || s.disk.check() != nil {
		return nil
	}
	s.cfg.Log.Info("segment was open; closed after its last complete record", "segment", segmentName(seg.number), "records", len(read.Records), "end", seg.size)
	if n := len(read.Torn); n > 0 {
		s.cfg.Log.Warn("the last write to a segment was interrupted: its incomplete records were not acknowledged and are dropped",
			"segment", segmentName(seg.number), "places", n, "from", read.Torn[0].From, "to", read.Torn[n-1].To)
	}
	var lines []byte
	for i := range read.Records {
		lines = format.AppendIndexEntry(lines, &read.Records[i])
	}
	err := s.withWritable(seg, func(f vfs.File) error {
		if err := zeroTorn(f, read.Torn, read.End, s.log.zeros, !clean); err != nil {
			return err
		}
		if !clean {
			return f.Datasync()
		}
		return writeSegmentEnd(seg, f, lines, seg.size)
	})
	return s.judgeStartup(err)
}

// judgeStartup handles the error of a change at start. It returns only errors that are unrelated to the disk.
func (s *Store) judgeStartup(err error) error {
	switch {
	case err == nil:
	case passes(err):
		return err
	case isFull(err): // the next start distinguishes torn writes from damage again
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
func (s *Store) resumeSpare(seg *segment, read *format.Segment) bool {
	sp := &s.log.spare
	size, err := seg.file.Size()
	if err != nil || sp.size == 0 || size < sp.size || read.Whole || read.Salt == 0 || read.Damage.Any() || s.disk.takesNothing() {
		return false
	}
	f, err := s.fs.Open(segmentName(seg.number))
	if err != nil {
		return false
	}
	err = zeroTorn(f, read.Torn, read.End, s.log.zeros, true)
	if err == nil {
		err = f.Datasync()
	}
	if err != nil {
		_ = f.Close()
		_ = s.judgeStartup(err) // the store works without a spare
		return false
	}
	seg.closed = false
	sp.seg, sp.file, sp.end, sp.index = seg, f, read.End, nil
	for i := range read.Records {
		rec := &read.Records[i]
		sp.batch = max(sp.batch, rec.Batch)
		sp.index = format.AppendIndexEntry(sp.index, rec)
	}
	return true
}

// dropEmpty removes a segment without a complete record if it was the active one, whose
// first write was interrupted. Any other is kept for an operator to examine.
func (s *Store) dropEmpty(number uint32, newest bool) error {
	if !newest && number&spareBit == 0 {
		s.cfg.Log.Warn("no record of this segment can be read, ignored", "segment", segmentName(number))
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

// apply adds the records of all segments to the index, oldest first, and removes those
// that tombstones refer to.
func (r *recovery) apply() {
	s := r.s
	for _, recs := range r.records {
		for i := range recs {
			rec := &recs[i]
			s.table.wrote(s.table.all[rec.At.Seg], rec)
			if rec.Kind == format.KindChunk {
				r.show(rec)
			}
		}
	}
	dead := map[format.Place]bool{} // suspects that a tombstone refers to
	for i := range r.suspects {
		dead[r.suspects[i].At] = false
	}
	for _, recs := range r.records {
		for i := range recs {
			if rec := &recs[i]; rec.Kind == format.KindTombstone && s.table.saltOf(rec.Target.Seg) == rec.TargetSalt {
				if _, ok := dead[rec.Target]; ok {
					dead[rec.Target] = true
				}
				r.hide(rec)
			}
		}
	}
	for i := range r.suspects {
		if rec := &r.suspects[i]; rec.Kind == format.KindTombstone {
			r.suspectTombstone(rec)
		}
	}
	for _, e := range s.index.Promote() {
		s.table.becameLive(e)
	}
	for i := range r.suspects {
		if rec := &r.suspects[i]; rec.Kind == format.KindChunk && !dead[rec.At] {
			r.suspectChunk(rec)
		}
	}
}

func (r *recovery) show(rec *format.Record) {
	if before, was := r.s.index.Put(rec.Info.ID, index.EntryOf(rec)); was {
		r.s.index.AddDuplicate(rec.Info.ID, before)
		r.s.table.becameGarbage(before)
	}
}

func (r *recovery) hide(rec *format.Record) {
	if gone, was := r.s.index.RemoveAt(rec.Info.ID, rec.Target); was {
		r.s.table.becameGarbage(gone)
	}
}

// suspectTombstone handles a tombstone whose header does not match its checksum. If exactly
// the chunk that it names is stored at exactly the place that it names, those fields are
// intact, and the chunk stays deleted. Otherwise the deletion is lost and the chunk exists
// again; that is reported, and at worst leaves garbage.
func (r *recovery) suspectTombstone(rec *format.Record) {
	s := r.s
	e, ok := s.index.Find(rec.Info.ID, nil)
	_, duplicate := s.index.DuplicateAt(rec.Info.ID, rec.Target)
	if s.table.saltOf(rec.Target.Seg) == rec.TargetSalt && (duplicate || ok && e.Place() == rec.Target) {
		r.hide(rec)
		s.cfg.Log.Warn("a damaged tombstone still identifies its chunk, which stays deleted", "segment", segmentName(rec.At.Seg), "offset", rec.At.Off, "chunk", rec.Info.ID)
		return
	}
	s.cfg.Log.Warn("a tombstone cannot be read; the chunk that it deleted may exist again", "segment", segmentName(rec.At.Seg), "offset", rec.At.Off, "chunk, unproven", rec.Info.ID)
}

// suspectChunk adds a chunk whose header does not match its checksum to the index, so that
// it reads as damaged and is repaired, instead of being missing.
func (r *recovery) suspectChunk(rec *format.Record) {
	s := r.s
	if _, ok := s.index.Find(rec.Info.ID, nil); ok || rec.Info.ID == (store.ChunkID{}) {
		return
	}
	s.cfg.Log.Warn("the header of a chunk is damaged", "segment", segmentName(rec.At.Seg), "offset", rec.At.Off, "chunk, unproven", rec.Info.ID)
	e := index.EntryOf(rec)
	s.index.Put(rec.Info.ID, e)
	s.table.becameLive(e)
}

// readFolders finds the chunk files.
func (s *Store) readFolders(ctx context.Context) error {
	folders, err := s.fs.ReadDir("chunks")
	if err != nil {
		for i := range s.folders.unlistable {
			s.folders.unlistable[i] = true
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
			s.cfg.Log.Warn("not a folder of chunks, ignored", "name", "chunks/"+folder.Name)
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
	if err != nil { // lookups then try the file's name, see folders.unlisted
		s.folders.unlistable[first] = true
		return s.unreadable(dir, err)
	}
	s.syncDir(dir)
	s.folders.made[first].Store(true)
	for _, e := range entries {
		id, err := store.ParseChunkID(e.Name)
		if err != nil || id.Part[0] != first || e.Dir {
			s.cfg.Log.Warn("not a chunk file, ignored", "name", dir+"/"+e.Name)
			continue
		}
		s.space.Add(e.Size)
		if before, was := s.index.Put(id, index.Entry{}); was { // a lost tombstone restored the packed copy
			s.index.AddDuplicate(id, before)
			s.table.becameGarbage(before)
		}
	}
	return nil
}
