package chunkfs

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/segment"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
)

// moveBytes is how many bytes compaction copies between two pauses. The chunks of one such
// step are locked, so it also bounds how long Delete waits.
const moveBytes = 1 << 20

// compactLoop rewrites segments when deletions left enough garbage in them, until ctx ends.
func (s *Store) compactLoop(ctx context.Context) {
	s.wakeCompaction()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		if err := s.compact(ctx, s.throttle); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("compaction failed; it is tried again after the next deletion", "cause", err)
		}
	}
}

// throttle waits for the time that n bytes take at the configured rate.
func (s *Store) throttle(ctx context.Context, n int64) error {
	return wait.For(ctx, time.Duration(float64(n)/float64(s.cfg.CompactRate)*float64(time.Second)))
}

// Compact rewrites all segments with enough garbage now, without pauses. The store does so
// by itself in the background, at Config.CompactRate.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.life.RUnlock()
	return s.compact(ctx, func(ctx context.Context, _ int64) error { return ctx.Err() })
}

func (s *Store) compact(ctx context.Context, pause func(context.Context, int64) error) error {
	s.compacting.Lock()
	defer s.compacting.Unlock()
	if err := s.disk.Check(); err != nil {
		return err
	}
	if err := s.removeDead(ctx); err != nil {
		return err
	}
	if err := s.log.RenewSpare(); err != nil {
		return err
	}
	for _, seg := range s.table.Compactable(s.cfg.SegmentSize) {
		live, _ := s.table.Sizes(seg)
		if !s.space.RoomFor(live + moveRoom) {
			s.cfg.Log.Info("segment not rewritten: the disk has no room for the copies", "segment", seg.Number, "bytes", live)
			continue
		}
		m := &rewriter{s: s, seg: seg, pause: pause, tombs: map[uint32]int64{}, locked: map[store.ChunkID]bool{}}
		if err := m.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// moveRoom is what must be free beyond the copies before a segment is rewritten.
const moveRoom = 1 << 20

// removeDead removes the segments in which nothing is live, which takes no write. A removal
// makes the tombstones that point into the segment garbage, after which others may be dead.
// On a disk without space the active segment is included.
func (s *Store) removeDead(ctx context.Context) error {
	if s.space.Exhausted() || s.disk.State().State == store.DiskFull {
		if err := s.log.Retire(); err != nil {
			return err
		}
	}
	for {
		removed := false
		for _, seg := range s.table.Dead() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if s.index.HasDuplicateIn(seg.Number) {
				continue // the rewriter compares the copies first
			}
			if !s.agreed(seg) {
				continue
			}
			if err := s.removeSegment(seg); err != nil {
				return err
			}
			removed = true
		}
		if !removed {
			return nil
		}
	}
}

// agreed reports whether no entry of the index is in a segment. If one is, the segment is
// damaged or its live bytes are wrong, and the segment is kept.
func (s *Store) agreed(seg *segment.Segment) bool {
	id, refers := s.index.RefersTo(seg.Number)
	if refers {
		s.keepDamaged(seg, "the index refers to a chunk in it that was not found: "+id.String())
	}
	return !refers
}

// keepDamaged marks a segment as damaged, and reports it once.
func (s *Store) keepDamaged(seg *segment.Segment, reason string) {
	if s.table.Damage(seg, reason) {
		s.cfg.Log.Warn("segment is damaged: it is readable, but neither rewritten nor removed", "segment", segment.Name(seg.Number), "cause", reason)
	}
}

// rewriter rewrites one segment: it copies the live records to the active segment and then
// removes the old one. It may be interrupted at any point: until the removal every record is
// in the old segment, and copies are recorded as duplicates.
//
// A damaged file may yield fewer records than were written to it, so the index decides: as
// long as an entry refers to the segment, or a needed tombstone in it was not found, the
// segment is kept.
type rewriter struct {
	s     *Store
	seg   *segment.Segment
	pause func(context.Context, int64) error

	group  []*format.Record // read, not yet written
	locked map[store.ChunkID]bool
	bytes  int64
	tombs  map[uint32]int64 // bytes of tombstones found, by the segment that they point into
}

func (m *rewriter) run(ctx context.Context) error {
	defer m.unlock()
	m.seg.Acquire()
	defer m.seg.Release()
	f, err := m.seg.Open()
	if errors.Is(err, fs.ErrNotExist) {
		m.s.keepDamaged(m.seg, "its file does not exist")
		return nil
	}
	if err != nil {
		return disk.Translate("Compact", store.ChunkID{}, err)
	}
	read, err := format.LoadSegment(f, m.seg.Number)
	if err == nil && disk.Passes(read.Damage.Cause) {
		err = read.Damage.Cause
	}
	if err != nil {
		return disk.Translate("Compact", store.ChunkID{}, err)
	}
	_, end := m.s.table.Sizes(m.seg)
	for r := range read.All() {
		if int64(r.At.Off) >= end {
			break // part of a write that was undone
		}
		if !m.consider(r) {
			return m.flush(ctx) // the copies made so far remain valid
		}
		if m.bytes >= m.s.moveBytes {
			if err := m.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	if !m.s.agreed(m.seg) {
		return nil
	}
	if target, ok := m.s.table.Missing(m.seg, m.tombs); ok {
		m.s.keepDamaged(m.seg, "deletions in it were not found that are needed for "+segment.Name(target))
		return nil
	}
	return m.s.removeSegment(m.seg)
}

// consider adds a record to the group if it is live. A chunk that does not match its
// checksum ends the rewriting of its segment: the hasBadData chunk must remain, and be reported,
// until a repair deletes it.
func (m *rewriter) consider(r *format.Record) (sound bool) {
	if r.Kind == format.KindTombstone {
		if r.Target.Seg != m.seg.Number && m.s.table.Holds(r.Target.Seg, r.TargetSalt) {
			m.tombs[r.Target.Seg] += r.Size()
			m.add(&format.Record{
				Kind: format.KindTombstone, Content: format.Content{Info: chunk.Info{ID: r.Info.ID}},
				Target: r.Target, TargetSalt: r.TargetSalt,
			})
		}
		return true
	}
	if !m.isLive(r) && !m.isDuplicate(r) {
		return true
	}
	if !m.locked[r.Info.ID] { // a chunk may be in the segment twice
		m.s.ids.lock(r.Info.ID)
		m.locked[r.Info.ID] = true
	}
	if m.isDuplicate(r) {
		m.preferSound(r)
	}
	if !m.isLive(r) { // deleted during the wait, or the other copy is intact
		return true
	}
	copied, err := m.read(r)
	if err != nil {
		m.s.cfg.Log.Warn("segment not rewritten: a chunk in it is damaged", "segment", m.seg.Number, "chunk", r.Info.ID, "cause", err)
		m.s.table.MarkBadChunk(m.seg)
		return false
	}
	m.add(copied)
	return true
}

func (m *rewriter) isLive(r *format.Record) bool {
	e, ok := m.s.index.Find(r.Info.ID, nil)
	return ok && e.Place() == r.At
}

func (m *rewriter) isDuplicate(r *format.Record) bool {
	_, ok := m.s.index.DuplicateAt(r.Info.ID, r.At)
	return ok
}

// preferSound makes the duplicate r the chunk's entry if the entry does not match its
// checksums, so that the last intact copy is not removed with its segment. The chunk's lock
// is held.
func (m *rewriter) preferSound(r *format.Record) {
	duplicate, ok := m.s.index.DuplicateAt(r.Info.ID, r.At)
	e, was := m.s.index.Find(r.Info.ID, nil)
	if !ok || !was || e.IsFile() || m.s.sound(r.Info.ID) {
		return
	}
	m.s.index.Swap(r.Info.ID, duplicate)
	m.s.table.BecameLive(duplicate)
	m.s.table.BecameGarbage(e)
}

// read returns a verified copy of a record, ready to be appended. The segment is acquired, so its source is not closed.
func (m *rewriter) read(r *format.Record) (*format.Record, error) {
	e, _ := m.s.index.Find(r.Info.ID, nil)
	src, err := packedSource(m.seg, r.Info.ID, e)
	if err != nil {
		return nil, err
	}
	copied := &format.Record{Kind: format.KindChunk, Content: src.Content}
	for n := range src.CRCs {
		u, err := src.unit(m.s.pool, n)
		if err != nil {
			return nil, err
		}
		copied.Data = append(copied.Data, append([]byte(nil), u.Data...))
		u.Release()
	}
	return copied, nil
}

func (m *rewriter) add(r *format.Record) {
	m.group = append(m.group, r)
	m.bytes += r.Info.Size + format.TombstoneSize
}

// flush writes the group and unlocks its chunks.
func (m *rewriter) flush(ctx context.Context) error {
	if len(m.group) > 0 {
		if err := m.s.log.Append(m.group...); err != nil {
			return err
		}
	}
	n := m.bytes
	m.group, m.bytes = nil, 0
	m.unlock()
	return m.pause(ctx, n)
}

func (m *rewriter) unlock() {
	for id := range m.locked {
		m.s.ids.unlock(id)
	}
	clear(m.locked)
}

// removeSegment removes a segment whose live records are all stored elsewhere, too.
func (s *Store) removeSegment(seg *segment.Segment) error {
	if err := s.disk.Check(); err != nil {
		return err
	}
	if err := s.fs.Remove(segment.Name(seg.Number)); err != nil {
		return s.disk.Judge(store.ChunkID{}, err)
	}
	switch err := s.fs.SyncDir("segments"); {
	case err == nil:
	case disk.IsFull(err):
		s.keepDamaged(seg, "it was removed, but the full disk prevented making that durable")
		return disk.Translate("Compact", store.ChunkID{}, err)
	default:
		return s.disk.Fail(err)
	}
	// Only now the removal is durable: until here a power cut could have restored the
	// segment, so Delete had to write tombstones for the copies in it, too.
	s.index.ForgetSegment(seg.Number)
	s.table.Drop(seg)
	_, size := s.table.Sizes(seg)
	s.space.Add(-size)
	return nil
}
