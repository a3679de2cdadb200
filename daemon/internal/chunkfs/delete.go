package chunkfs

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// removals is how many folders a call removes chunk files from at once.
const removals = 8

// Delete implements chunk.Keeper.
func (s *Store) Delete(ctx context.Context, id store.ChunkID) error {
	return s.DeleteMany(ctx, []store.ChunkID{id})[0]
}

// DeleteMany implements chunk.ManyDeleter: one append to the log for all packed chunks, and one sync of a folder for all
// its files.
func (s *Store) DeleteMany(ctx context.Context, ids []store.ChunkID) []error {
	if err := chunk.CheckMany(ids); err != nil {
		return chunk.AllFailed(ids, err)
	}
	if err := s.begin(ctx); err != nil {
		return chunk.AllFailed(ids, err)
	}
	defer s.life.RUnlock()
	if err := s.disk.Check(); err != nil {
		return chunk.AllFailed(ids, err)
	}
	d := deletion{s: s, failed: make(map[store.ChunkID]error)}
	for rest := sorted(ids); len(rest) > 0; {
		rest = d.run(rest)
	}
	results := make([]error, len(ids))
	for i, id := range ids {
		results[i] = d.failed[id]
	}
	return results
}

// sorted returns the ids in their order, each once.
func sorted(ids []store.ChunkID) []store.ChunkID {
	if len(ids) <= 1 {
		return ids
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, store.ChunkID.Compare)
	return slices.Compact(ids)
}

// deletion is one call of DeleteMany.
type deletion struct {
	s      *Store
	packed []packed
	files  []store.ChunkID // those that are files, or may be
	failed map[store.ChunkID]error
}

// packed is a chunk that needs tombstones.
type packed struct {
	id         store.ChunkID
	tombstones []*format.Record
}

// run deletes those of the chunks that no other call has locked, the first at least, and returns the others. It waits for a lock only
// while it holds none, because compaction holds many.
func (d *deletion) run(ids []store.ChunkID) (rest []store.ChunkID) {
	d.packed, d.files = nil, nil
	for i, id := range ids {
		if i == 0 {
			d.s.ids.lock(id)
		} else if !d.s.ids.tryLock(id) {
			rest = append(rest, id)
			continue
		}
		defer d.s.ids.unlock(id)
		d.plan(id)
	}
	d.bury()
	d.removeFiles()
	return rest
}

// plan finds what there is of a chunk.
func (d *deletion) plan(id store.ChunkID) {
	e, ok := d.s.index.Find(id, nil)
	switch {
	case !ok && !d.s.folders.unlisted(id):
		return
	case ok && !e.IsFile():
		d.addPacked(id, append(d.s.index.DuplicatesOf(id), e)) // the entry last: until then the chunk exists
		return
	}
	// A file may have duplicates where a damaged tombstone restored a deleted record.
	d.addPacked(id, d.s.index.DuplicatesOf(id))
	d.files = append(d.files, id)
}

// addPacked makes tombstones for the places of a packed chunk.
func (d *deletion) addPacked(id store.ChunkID, places []index.Entry) {
	p := packed{id: id}
	for _, at := range places {
		salt := d.s.table.SaltOf(at.Seg)
		if salt == 0 { // no such segment, so the record cannot reappear
			d.s.index.RemoveAt(id, at.Place())
			continue
		}
		tombstone := &format.Record{Kind: format.KindTombstone, Target: at.Place(), TargetSalt: salt, Head: format.TombstoneSize}
		tombstone.Info.ID = id
		p.tombstones = append(p.tombstones, tombstone)
	}
	if len(p.tombstones) > 0 {
		d.packed = append(d.packed, p)
	}
}

// bury writes all tombstones at once. Where they do not all have room on a full disk, it writes as many as have.
func (d *deletion) bury() {
	if len(d.packed) == 0 {
		return
	}
	var all []*format.Record
	for _, p := range d.packed {
		all = append(all, p.tombstones...)
	}
	err := d.s.log.Append(all...)
	each := errors.Is(err, store.NoSpace) && len(d.packed) > 1
	for _, p := range d.packed {
		if each {
			err = d.s.log.Append(p.tombstones...)
			each = err == nil // what follows has no room either
		}
		if err != nil {
			d.failed[p.id] = disk.Translate("Delete", p.id, err)
		}
	}
	d.s.wakeCompaction()
}

// removeFiles removes the files of chunks durably, but not of those whose duplicates could not be deleted. The ids are
// sorted, so those of one folder follow each other.
func (d *deletion) removeFiles() {
	var g errgroup.Group
	g.SetLimit(removals)
	var folders [][]store.ChunkID
	for _, id := range d.files {
		last := len(folders) - 1
		switch {
		case d.failed[id] != nil:
		case last >= 0 && folderOf(folders[last][0]) == folderOf(id):
			folders[last] = append(folders[last], id)
		default:
			folders = append(folders, []store.ChunkID{id})
		}
	}
	failed := make([][]error, len(folders))
	for i, ids := range folders {
		g.Go(func() error {
			failed[i] = d.s.removeFiles(ids)
			return nil
		})
	}
	_ = g.Wait() // errors are recorded with their chunks
	for i, ids := range folders {
		for j, id := range ids {
			d.failed[id] = failed[i][j]
		}
	}
}

// removeFiles removes the files of chunks of one folder, with one sync.
func (s *Store) removeFiles(ids []store.ChunkID) []error {
	failed, removed := make([]error, len(ids)), 0
	for i, id := range ids {
		if failed[i] = s.removeFile(id); failed[i] == nil {
			removed++
		}
	}
	if removed == 0 {
		return failed
	}
	err := s.folders.sync(folderOf(ids[0]))
	for i := range ids {
		if failed[i] == nil {
			failed[i] = err
		}
	}
	return failed
}

// removeFile removes the chunk's file. A missing file is no error: its removal may not be durable yet.
func (s *Store) removeFile(id store.ChunkID) error {
	name := chunkName(id)
	entry, err := s.fs.Stat(name)
	if err == nil {
		err = s.fs.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.disk.Judge(id, err)
	}
	s.space.Add(-entry.Size)
	s.index.RemoveAt(id, format.Place{})
	return nil
}
