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
	for _, seg := range s.table.worthy(s.cfg.SegmentSize) {
		m := &mover{s: s, seg: seg, pause: pause}
		if err := m.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// mover rewrites one segment: it copies what is live to the active segment and
// then removes the old one. It may be cut at any point: until the removal
// every record is in the old segment, and copies are known as such (shadows).
type mover struct {
	s     *Store
	seg   *segment
	pause func(context.Context, int64) error

	group  []*form.Record // copied, not yet written
	locked []store.ChunkID
	bytes  int64
}

func (m *mover) run(ctx context.Context) error {
	defer m.unlock()
	recs, _, err := form.LoadSegment(m.seg.file, m.seg.number)
	if err != nil {
		return translate("Compact", store.ChunkID{}, err)
	}
	for i := range recs {
		if !m.consider(&recs[i]) {
			return m.flush(ctx) // what was copied so far is as good there as here
		}
		if m.bytes >= moveBytes {
			if err := m.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	return m.s.removeSegment(m.seg)
}

// consider adds a record to the group if it is live. A record that does not
// verify ends the rewriting of its segment: the rotten chunk must stay to be
// reported, until a repair deletes it.
func (m *mover) consider(r *form.Record) (sound bool) {
	if r.Kind == form.KindTombstone {
		if r.Target.Seg != m.seg.number && m.s.table.has(r.Target.Seg) {
			m.add(&form.Record{Kind: form.KindTombstone, Content: form.Content{Info: store.ChunkInfo{ID: r.Info.ID}}, Target: r.Target})
		}
		return true
	}
	if !m.isLive(r) {
		return true
	}
	m.s.ids.lock(r.Info.ID)
	m.locked = append(m.locked, r.Info.ID)
	if !m.isLive(r) { // deleted while we waited
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

// read gives a verified copy of a record, ready to be appended.
func (m *mover) read(r *form.Record) (*form.Record, error) {
	src, err := packedSource(m.seg, r.Info.ID, entryOf(r))
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
	for _, id := range m.locked {
		m.s.ids.unlock(id)
	}
	m.locked = nil
}

// removeSegment removes a segment of which nothing is live but what lies elsewhere too.
func (s *Store) removeSegment(seg *segment) error {
	if err := s.disk.check(); err != nil {
		return err
	}
	if err := s.fs.Remove(segmentName(seg.number)); err != nil {
		return s.disk.judge(store.ChunkID{}, err)
	}
	if err := s.fs.SyncDir("segments"); err != nil {
		return s.disk.fail(err)
	}
	// Only now the removal is for good: until here a cut could have brought the
	// segment back, and Delete had to bury the copies in it too.
	s.index.forgetSegment(seg.number)
	s.table.drop(seg)
	s.space.add(-seg.size)
	return translate("Compact", store.ChunkID{}, seg.release())
}
