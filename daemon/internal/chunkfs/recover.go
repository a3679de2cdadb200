package chunkfs

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// recover brings the directory to a known state and fills the index. What it
// shows it has made durable before: a process that was killed may have left
// names and bytes that only the page cache knows.
func (s *Store) recover(ctx context.Context) error {
	for _, dir := range []string{"chunks", "segments", "tmp"} {
		if err := s.fs.MkdirAll(dir); err != nil {
			return translate("Open", store.ChunkID{}, err)
		}
	}
	if err := s.fs.SyncDir("."); err != nil {
		return s.disk.fail(err)
	}
	for _, step := range []func(context.Context) error{s.emptyTmp, s.readSegments, s.readFolders} {
		if err := step(ctx); err != nil {
			return translate("Open", store.ChunkID{}, err)
		}
	}
	return nil
}

// emptyTmp removes what writers left.
func (s *Store) emptyTmp(context.Context) error {
	left, err := s.fs.ReadDir("tmp")
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := s.fs.Remove("tmp/" + e.Name); err != nil {
			return err
		}
	}
	return nil
}

// readSegments reads every segment, seals what was open, and works out what is live.
func (s *Store) readSegments(ctx context.Context) error {
	entries, err := s.fs.ReadDir("segments")
	if err != nil {
		return err
	}
	var all [][]form.Record
	for _, e := range entries {
		number, ok := parseSegmentName(e.Name)
		if !ok {
			s.cfg.Log.Warn("not a segment, left alone", "name", "segments/"+e.Name)
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		recs, err := s.readSegment(number, e == entries[len(entries)-1])
		if err != nil {
			return err
		}
		s.log.next = max(s.log.next, number)
		all = append(all, recs)
	}
	s.apply(all)
	s.log.next++
	return nil
}

func parseSegmentName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	n, err := strconv.ParseUint(digits, 16, 32)
	return uint32(n), ok && err == nil && n > 0 && len(digits) == 8
}

// readSegment opens one segment and puts it into the table, sealed. One in
// which nothing was ever acknowledged is removed.
func (s *Store) readSegment(number uint32, newest bool) ([]form.Record, error) {
	f, err := s.fs.Open(segmentName(number))
	if err != nil {
		return nil, err
	}
	recs, whole, err := form.LoadSegment(f, number)
	if err == nil && len(recs) == 0 {
		return nil, errors.Join(f.Close(), s.dropEmpty(number, newest))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	seg := newSegment(number, f)
	seg.closed = true
	last := &recs[len(recs)-1]
	seg.size = int64(last.At.Off) + last.Size()
	s.table.add(seg)
	s.space.add(seg.size)
	if whole {
		return recs, nil
	}
	s.cfg.Log.Info("segment was open, closed it after the last whole record", "segment", number, "records", len(recs), "end", seg.size)
	var lines []byte
	for i := range recs {
		lines = form.AppendIndexEntry(lines, &recs[i])
	}
	if err := writeSegmentEnd(seg, lines, seg.size); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return nil, s.disk.fail(err)
	}
	return recs, nil
}

// apply fills the index with the records of all segments, oldest first, and
// takes out what tombstones name.
func (s *Store) apply(all [][]form.Record) {
	for _, recs := range all {
		for i := range recs {
			r := &recs[i]
			s.table.wrote(s.table.all[r.At.Seg], r)
			if r.Kind != form.KindChunk {
				continue
			}
			if before, was := s.index.put(r.Info.ID, entryOf(r)); was {
				s.index.addShadow(r.Info.ID, before)
				s.table.died(before)
			}
		}
	}
	for _, recs := range all {
		for i := range recs {
			if r := &recs[i]; r.Kind == form.KindTombstone {
				if gone, was := s.index.removeAt(r.Info.ID, r.Target); was {
					s.table.died(gone)
				}
			}
		}
	}
	for _, e := range s.index.promote() {
		s.table.revived(e)
	}
}

// dropEmpty removes a segment in which no record is whole: the active one,
// whose first write was cut. Any other is left for a person to look at.
func (s *Store) dropEmpty(number uint32, newest bool) error {
	if !newest {
		s.cfg.Log.Warn("no record of this segment can be read, left alone", "segment", segmentName(number))
		return nil
	}
	return s.fs.Remove(segmentName(number))
}

// readFolders finds the chunk files.
func (s *Store) readFolders(ctx context.Context) error {
	folders, err := s.fs.ReadDir("chunks")
	if err != nil {
		return err
	}
	if err := s.fs.SyncDir("chunks"); err != nil {
		return s.disk.fail(err)
	}
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
	if err != nil {
		return err
	}
	if err := s.fs.SyncDir(dir); err != nil {
		return s.disk.fail(err)
	}
	s.folders.made[first].Store(true)
	for _, e := range entries {
		id, err := store.ParseChunkID(e.Name)
		if err != nil || id.Part[0] != first || e.Dir {
			s.cfg.Log.Warn("not a chunk file, left alone", "name", dir+"/"+e.Name)
			continue
		}
		s.space.add(e.Size)
		s.index.put(id, entry{})
	}
	return nil
}
