package chunkfs

import (
	"context"
	"errors"
	"io/fs"
	"strconv"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/segment"
	"github.com/ringstore/ringstore/daemon/internal/store"
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
			return disk.Translate("Open", store.ChunkID{}, err)
		}
	}
	if s.disk.Check() == nil {
		_ = s.log.RenewSpare() // s.disk records why it failed
	}
	return nil
}

// prepare creates the folders.
func (s *Store) prepare() {
	for _, dir := range []string{"chunks", "segments", "tmp"} {
		if err := s.fs.MkdirAll(dir); err != nil {
			_ = s.disk.Judge(store.ChunkID{}, err)
		}
	}
	s.syncDir(".")
}

// syncDir makes the names in a directory durable. On failure the store becomes read-only.
func (s *Store) syncDir(dir string) {
	if err := s.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = s.disk.Fail(err)
	}
}

// emptyTmp removes the files of unfinished writes.
func (s *Store) emptyTmp(context.Context) error {
	left, err := s.fs.ReadDir("tmp")
	if err != nil {
		return s.disk.Unreadable("tmp", err)
	}
	for _, e := range left {
		if err := s.fs.Remove("tmp/" + e.Name); err != nil {
			_ = s.disk.Judge(store.ChunkID{}, err)
			return nil
		}
	}
	return nil
}

// readSegments reads all segments and adds their records to the index.
func (s *Store) readSegments(ctx context.Context) error {
	var deletions []tombstone
	suspects, err := s.log.Recover(ctx, func(read *format.Segment) { deletions = s.apply(read, deletions) })
	if err != nil {
		return err
	}
	s.applyDeletions(deletions, suspects)
	return nil
}

// tombstone is what a start keeps of the record until all segments were read: a tombstone may be in an older segment than what it
// deletes, because spare segments have numbers of their own.
type tombstone struct {
	id     store.ChunkID
	at     format.Place
	target format.Place
	salt   format.Salt
	head   int64
}

func (t *tombstone) record() *format.Record {
	return &format.Record{
		Kind: format.KindTombstone, Content: format.Content{Info: chunk.Info{ID: t.id}}, At: t.at, Head: t.head, Target: t.target, TargetSalt: t.salt,
	}
}

// apply adds the chunks of a segment to the index, and appends its tombstones. Segments are applied oldest first.
func (s *Store) apply(read *format.Segment, deletions []tombstone) []tombstone {
	for rec := range read.All() {
		if rec.Kind == format.KindTombstone {
			deletions = append(deletions, tombstone{rec.Info.ID, rec.At, rec.Target, rec.TargetSalt, rec.Head})
			continue
		}
		s.table.Wrote(rec)
		s.show(rec)
	}
	return deletions
}

// applyDeletions removes the chunks that tombstones refer to, and adds suspects, which were decoded from damaged headers.
func (s *Store) applyDeletions(deletions []tombstone, suspects []format.Record) {
	dead := map[format.Place]bool{} // suspects that a tombstone refers to
	for i := range suspects {
		dead[suspects[i].At] = false
	}
	for i := range deletions {
		rec := deletions[i].record()
		s.table.Wrote(rec)
		if s.table.SaltOf(rec.Target.Seg) != rec.TargetSalt {
			continue
		}
		if _, ok := dead[rec.Target]; ok {
			dead[rec.Target] = true
		}
		s.hide(rec)
	}
	for i := range suspects {
		if rec := &suspects[i]; rec.Kind == format.KindTombstone {
			s.suspectTombstone(rec)
		}
	}
	for _, e := range s.index.Promote() {
		s.table.BecameLive(e)
	}
	for i := range suspects {
		if rec := &suspects[i]; rec.Kind == format.KindChunk && !dead[rec.At] {
			s.suspectChunk(rec)
		}
	}
}

func (s *Store) show(rec *format.Record) {
	if before, was := s.index.Put(rec.Info.ID, index.EntryOf(rec)); was {
		s.index.AddDuplicate(rec.Info.ID, before)
		s.table.BecameGarbage(before)
	}
}

func (s *Store) hide(rec *format.Record) {
	if gone, was := s.index.RemoveAt(rec.Info.ID, rec.Target); was {
		s.table.BecameGarbage(gone)
	}
}

// suspectTombstone handles a tombstone whose header does not match its checksum. If exactly
// the chunk that it names is stored at exactly the place that it names, those fields are
// intact, and the chunk stays deleted. Otherwise the deletion is lost and the chunk exists
// again; that is reported, and at worst leaves garbage.
func (s *Store) suspectTombstone(rec *format.Record) {
	e, ok := s.index.Find(rec.Info.ID, nil)
	_, duplicate := s.index.DuplicateAt(rec.Info.ID, rec.Target)
	if s.table.SaltOf(rec.Target.Seg) == rec.TargetSalt && (duplicate || ok && e.Place() == rec.Target) {
		s.hide(rec)
		s.cfg.Log.Warn("a damaged tombstone still identifies its chunk, which stays deleted", "segment", segment.Name(rec.At.Seg), "offset", rec.At.Off, "chunk", rec.Info.ID)
		return
	}
	s.cfg.Log.Warn("a tombstone cannot be read; the chunk that it deleted may exist again", "segment", segment.Name(rec.At.Seg), "offset", rec.At.Off, "chunk, unproven", rec.Info.ID)
}

// suspectChunk adds a chunk whose header does not match its checksum to the index, so that
// it reads as damaged and is repaired, instead of being missing.
func (s *Store) suspectChunk(rec *format.Record) {
	if _, ok := s.index.Find(rec.Info.ID, nil); ok || rec.Info.ID == (store.ChunkID{}) {
		return
	}
	s.cfg.Log.Warn("the header of a chunk is damaged", "segment", segment.Name(rec.At.Seg), "offset", rec.At.Off, "chunk, unproven", rec.Info.ID)
	e := index.EntryOf(rec)
	s.index.Put(rec.Info.ID, e)
	s.table.BecameLive(e)
}

// readFolders finds the chunk files.
func (s *Store) readFolders(ctx context.Context) error {
	folders, err := s.fs.ReadDir("chunks")
	if err != nil {
		for i := range s.folders.unlistable {
			s.folders.unlistable[i] = true
		}
		return s.disk.Unreadable("chunks", err)
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
		return s.disk.Unreadable(dir, err)
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
			s.table.BecameGarbage(before)
		}
	}
	return nil
}
