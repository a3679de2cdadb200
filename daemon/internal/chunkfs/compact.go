package chunkfs

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs/form"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// moveBytes is how much compaction copies between two pauses. The chunks of one
// such step cannot be deleted meanwhile, so it also bounds how long Delete waits.
const moveBytes = 1 << 20

// compactLoop rewrites segments as deletions make them worth it, until ctx ends.
func (s *Store) compactLoop(ctx context.Context) {
	s.poke()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		if err := s.compact(ctx, s.throttle); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("compaction stopped; it goes on after the next deletion", "cause", err)
		}
	}
}

// throttle waits as long as n bytes take at the configured rate.
func (s *Store) throttle(ctx context.Context, n int64) error {
	pause := time.NewTimer(time.Duration(float64(n) / float64(s.cfg.CompactRate) * float64(time.Second)))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
		return nil
	}
}

// Compact rewrites all segments that are worth it now, without pauses. The
// store does so by itself, slowly; this is for who needs the space at once.
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
	if err := s.disk.check(); err != nil {
		return err
	}
	if err := s.removeDead(ctx); err != nil {
		return err
	}
	if err := s.log.exclusively(s.log.renewSpare); err != nil {
		return err
	}
	for _, seg := range s.table.compactable(s.cfg.SegmentSize) {
		live, _ := s.table.weigh(seg)
		if !s.space.roomFor(live + moveRoom) {
			s.cfg.Log.Info("segment not rewritten: the disk has no room for the copies", "segment", seg.number, "bytes", live)
			continue
		}
		m := &mover{s: s, seg: seg, pause: pause, tombs: map[uint32]int64{}, locked: map[store.ChunkID]bool{}}
		if err := m.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// moveRoom is what must be free beyond the copies before a segment is rewritten.
const moveRoom = 1 << 20

// removeDead removes the segments in which nothing is live, without a write. One
// removal makes the tombstones that point into it needless, and others dead so.
// On a disk without space the active segment is not spared either.
func (s *Store) removeDead(ctx context.Context) error {
	if s.space.exhausted() || s.disk.state().State == store.DiskFull {
		if err := s.log.exclusively(s.log.retire); err != nil {
			return err
		}
	}
	for {
		removed := false
		for _, seg := range s.table.dead() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if s.index.shadowed(seg.number) {
				continue // its copies are compared first, by the mover
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

// agreed reports whether the index agrees that no chunk's entry lies in a segment.
// Where one does, the segment is damaged, or the account is wrong: it is kept.
func (s *Store) agreed(seg *segment) bool {
	id, refers := s.index.refersTo(seg.number)
	if refers {
		s.keepDamaged(seg, "a chunk in it was not found where the index has it: "+id.String())
	}
	return !refers
}

// keepDamaged marks a segment as damaged, and reports it once.
func (s *Store) keepDamaged(seg *segment, reason string) {
	if s.table.damage(seg, reason) {
		s.cfg.Log.Warn("segment is damaged: it is read, but neither rewritten nor removed", "segment", segmentName(seg.number), "cause", reason)
	}
}

// mover rewrites one segment: it copies what is live to the active segment and
// then removes the old one. It may be cut at any point: until the removal
// every record is in the old segment, and copies are known as such (shadows).
//
// What the file says may be less than what was written to it. The index is what
// counts: as long as an entry lies in the segment, or a tombstone of it was not
// found that is needed, the segment stays.
type mover struct {
	s     *Store
	seg   *segment
	pause func(context.Context, int64) error

	group  []*form.Record // copied, not yet written
	locked map[store.ChunkID]bool
	bytes  int64
	tombs  map[uint32]int64 // bytes of tombstones found, by the segment that they point into
}

func (m *mover) run(ctx context.Context) error {
	defer m.unlock()
	read, err := form.LoadSegment(m.seg.file, m.seg.number, false)
	if err == nil && passes(read.Damage.Cause) {
		err = read.Damage.Cause
	}
	if err != nil {
		return translate("Compact", store.ChunkID{}, err)
	}
	_, end := m.s.table.weigh(m.seg)
	for i := range read.Records {
		r := &read.Records[i]
		if int64(r.At.Off) >= end {
			break // of a write that was taken back
		}
		if !m.consider(r) {
			return m.flush(ctx) // what was copied so far is as good there as here
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
	if target, ok := m.s.table.missing(m.seg, m.tombs); ok {
		m.s.keepDamaged(m.seg, "deletions in it were not found that are needed for "+segmentName(target))
		return nil
	}
	return m.s.removeSegment(m.seg)
}

// consider adds a record to the group if it is live. A record that does not
// verify ends the rewriting of its segment: the rotten chunk must stay to be
// reported, until a repair deletes it.
func (m *mover) consider(r *form.Record) (sound bool) {
	if r.Kind == form.KindTombstone {
		if r.Target.Seg != m.seg.number && m.s.table.holds(r.Target.Seg, r.TargetSalt) {
			m.tombs[r.Target.Seg] += r.Size()
			m.add(&form.Record{
				Kind: form.KindTombstone, Content: form.Content{Info: store.ChunkInfo{ID: r.Info.ID}},
				Target: r.Target, TargetSalt: r.TargetSalt,
			})
		}
		return true
	}
	if !m.isLive(r) && !m.isShadow(r) {
		return true
	}
	if !m.locked[r.Info.ID] { // a chunk may lie here twice
		m.s.ids.lock(r.Info.ID)
		m.locked[r.Info.ID] = true
	}
	if m.isShadow(r) {
		m.preferSound(r)
	}
	if !m.isLive(r) { // deleted while we waited, or the other copy is sound
		return true
	}
	copied, err := m.read(r)
	if err != nil {
		m.s.cfg.Log.Warn("segment not rewritten: a chunk in it is damaged", "segment", m.seg.number, "chunk", r.Info.ID, "cause", err)
		m.s.table.spoil(m.seg)
		return false
	}
	m.add(copied)
	return true
}

func (m *mover) isLive(r *form.Record) bool {
	e, ok := m.s.index.find(r.Info.ID, nil)
	return ok && e.place() == r.At
}

func (m *mover) isShadow(r *form.Record) bool {
	_, ok := m.s.index.shadowAt(r.Info.ID, r.At)
	return ok
}

// preferSound makes the shadow r the chunk's entry where the entry does not
// verify, so that the last sound copy is not removed with its segment. The
// chunk's lock is held.
func (m *mover) preferSound(r *form.Record) {
	shadow, ok := m.s.index.shadowAt(r.Info.ID, r.At)
	e, was := m.s.index.find(r.Info.ID, nil)
	if !ok || !was || e.isFile() || m.s.sound(r.Info.ID) {
		return
	}
	m.s.index.swap(r.Info.ID, shadow)
	m.s.table.revived(shadow)
	m.s.table.died(e)
}

// read gives a verified copy of a record, ready to be appended.
func (m *mover) read(r *form.Record) (*form.Record, error) {
	e, _ := m.s.index.find(r.Info.ID, nil)
	src, err := packedSource(m.seg, r.Info.ID, e)
	if err != nil {
		return nil, err
	}
	copied := &form.Record{Kind: form.KindChunk, Content: src.Content}
	for n := range src.CRCs {
		u, err := src.unit(&m.s.pool, n)
		if err != nil {
			return nil, err
		}
		copied.Data = append(copied.Data, append([]byte(nil), u.Data...))
		u.Release()
	}
	return copied, nil
}

func (m *mover) add(r *form.Record) {
	m.group = append(m.group, r)
	m.bytes += r.Info.Size + form.TombstoneSize
}

// flush writes the group and lets go of its chunks.
func (m *mover) flush(ctx context.Context) error {
	if len(m.group) > 0 {
		if err := m.s.log.append(m.group...); err != nil {
			return err
		}
	}
	n := m.bytes
	m.group, m.bytes = nil, 0
	m.unlock()
	return m.pause(ctx, n)
}

func (m *mover) unlock() {
	for id := range m.locked {
		m.s.ids.unlock(id)
	}
	clear(m.locked)
}

// removeSegment removes a segment of which nothing is live but what lies elsewhere too.
func (s *Store) removeSegment(seg *segment) error {
	if err := s.disk.check(); err != nil {
		return err
	}
	if err := s.fs.Remove(segmentName(seg.number)); err != nil {
		return s.disk.judge(store.ChunkID{}, err)
	}
	switch err := s.fs.SyncDir("segments"); {
	case err == nil:
	case isFull(err):
		s.keepDamaged(seg, "it is removed, but the full disk did not make that durable")
		return translate("Compact", store.ChunkID{}, err)
	default:
		return s.disk.fail(err)
	}
	// Only now the removal is for good: until here a cut could have brought the
	// segment back, and Delete had to bury the copies in it too.
	s.index.forgetSegment(seg.number)
	s.table.drop(seg)
	_, size := s.table.weigh(seg)
	s.space.add(-size)
	return translate("Compact", store.ChunkID{}, seg.release())
}
