package chunkfs

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/space"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// PutSmall implements chunk.SmallPutter. The data is written from u's buffer without a copy.
func (s *Store) PutSmall(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	got := s.PutMany([]chunk.SmallPut{{Context: ctx, Spec: spec, Unit: u, Label: label}})[0]
	return got.Info, got.Err
}

// PutMany implements chunk.ManyPutter: one append to the log for all that are packed.
func (s *Store) PutMany(puts []chunk.SmallPut) []chunk.PutResult {
	w := packing{s: s, results: make([]chunk.PutResult, len(puts)), waiting: make([]*packedPut, 0, len(puts))}
	for i, p := range puts {
		if int64(len(p.Unit.Data)) > s.cfg.PackBelow {
			w.results[i].Info, w.results[i].Err = s.putLarge(p.Context, p.Spec, p.Unit, p.Label)
			continue
		}
		defer p.Unit.Release()
		if err := s.begin(p.Context); err != nil {
			w.results[i].Err = err
			continue
		}
		defer s.life.RUnlock()
		c, room, err := s.preparePut(p)
		if err != nil {
			w.results[i].Err = err
			continue
		}
		defer room.Release() // the log counts the record
		w.waiting = append(w.waiting, &packedPut{index: i, ctx: p.Context, record: &format.Record{Kind: format.KindChunk, Content: c, Data: [][]byte{p.Unit.Data}}})
	}
	for len(w.waiting) > 0 {
		w.run()
	}
	return w.results
}

// preparePut checks what is to be stored, and reserves its space.
func (s *Store) preparePut(p chunk.SmallPut) (c format.Content, room *space.Reservation, err error) {
	if err := p.Spec.Validate(); err != nil {
		return c, nil, err
	}
	if err := checkUnit(p.Unit, p.Spec, 0); err != nil {
		return c, nil, err
	}
	if c, err = s.describe(p.Spec, p.Label, int64(len(p.Unit.Data)), []uint32{p.Unit.CRC}); err != nil {
		return c, nil, err
	}
	reserved, err := s.space.Reserve(c.Info.Size)
	return c, &reserved, disk.Translate("PutSmall", p.Spec.ID, err)
}

// putLarge is PutSmall for a unit that is too large for a segment.
func (s *Store) putLarge(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	w, err := s.Create(ctx, spec)
	if err != nil {
		u.Release()
		return chunk.Info{}, err
	}
	defer w.Abort()
	if err := w.Append(u); err != nil {
		return chunk.Info{}, err
	}
	return w.Commit(label)
}

// packing is one call of PutMany.
type packing struct {
	s       *Store
	results []chunk.PutResult
	waiting []*packedPut
}

// packedPut is a chunk that is to become a record.
type packedPut struct {
	index  int             // of its result
	ctx    context.Context //nolint:containedctx // that of its caller
	record *format.Record
}

// run stores those of the waiting chunks that no other call has locked, the first at least. It waits for a lock only while it holds
// none, because compaction and deletions hold many.
func (w *packing) run() {
	var group, rest []*packedPut
	for i, p := range w.waiting {
		id := p.record.Info.ID
		if i == 0 {
			w.s.ids.lock(id)
		} else if !w.s.ids.tryLock(id) {
			rest = append(rest, p)
			continue
		}
		defer w.s.ids.unlock(id)
		if w.wanted(p) {
			group = append(group, p)
		}
	}
	w.waiting = rest
	w.append(group)
}

// wanted reports whether the chunk is to be stored: it does not exist, and its caller has not left, which may have asked for its deletion since.
func (w *packing) wanted(p *packedPut) bool {
	r := &w.results[p.index]
	if r.Err = p.ctx.Err(); r.Err != nil {
		return false
	}
	r.Info, r.Err = w.s.existing(p.record.Info)
	return r.Err == nil && r.Info.ID != p.record.Info.ID
}

// append writes the records at once. Where they do not all have room on a full disk, it writes as many as have.
func (w *packing) append(group []*packedPut) {
	if len(group) == 0 {
		return
	}
	records := make([]*format.Record, len(group))
	for i, p := range group {
		records[i] = p.record
	}
	err := w.s.log.Append(records...)
	each := len(group) > 1 && errors.Is(err, store.NoSpace)
	for _, p := range group {
		r, id := &w.results[p.index], p.record.Info.ID
		if each {
			err = w.s.log.Append(p.record)
		}
		if r.Info, r.Err = p.record.Info, disk.Translate("Commit", id, err); err != nil {
			r.Info = chunk.Info{}
		}
	}
}
