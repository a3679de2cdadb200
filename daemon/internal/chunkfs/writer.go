package chunkfs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/space"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs"
)

// writebackEvery is how many bytes of a large chunk may be dirty in the page cache before
// their writeback is started, so that the final sync is short.
const writebackEvery = 8 << 20

// writer is a chunk.Writer. It buffers in memory, or writes to a file if the size hint
// says that the chunk is large; a chunk that grows beyond the limit is moved to a file.
type writer struct {
	s    *Store
	ctx  context.Context
	spec chunk.Spec

	mu     sync.Mutex // guards everything below
	ended  bool       // by Commit or Abort
	failed error      // of an earlier step: sticky
	crcs   []uint32
	size   int64

	room space.Reservation
	bufs []*bufpool.Buffer // the units of a chunk in memory; their bytes are counted in s.buffered
	temp *tempFile         // the chunk's file, nil while it is in memory
}

// tempFile is the file of a chunk that is being written.
type tempFile struct {
	vfs.File
	name      string // in tmp; "" when it was renamed
	allocated int64  // bytes preallocated
	flushed   int64  // data bytes whose writeback was started
}

// errEnded is returned by a writer that is used after its end.
var errEnded error = store.Errorf(store.Canceled, "the write was ended before")

func (s *Store) newWriter(ctx context.Context, spec chunk.Spec) (*writer, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	room, err := s.space.Reserve(spec.SizeHint)
	if err != nil {
		return nil, disk.Translate("Create", spec.ID, err)
	}
	w := &writer{s: s, ctx: ctx, spec: spec, room: room}
	if spec.SizeHint > s.cfg.PackBelow {
		if err := w.toFile(); err != nil {
			w.end() // no other goroutine has it yet, so its lock is not needed
			return nil, err
		}
	}
	return w, nil
}

// Append implements chunk.Writer.
func (w *writer) Append(u chunk.Unit) error {
	defer u.Release()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(); err != nil {
		return err
	}
	defer w.s.life.RUnlock()
	w.failed = w.append(u)
	return w.failed
}

// ready begins a step of the writer. On success the caller ends it with life.RUnlock. w.mu is held.
func (w *writer) ready() error {
	switch {
	case w.ended:
		return errEnded
	case w.failed != nil:
		return w.failed
	}
	return w.s.begin(w.ctx)
}

func (w *writer) append(u chunk.Unit) error {
	if err := checkUnit(u, w.spec, w.size); err != nil {
		return err
	}
	n := int64(len(u.Data))
	if w.size+n > w.room.Size() {
		if err := w.room.Grow(w.size + n); err != nil {
			return disk.Translate("Append", w.spec.ID, err)
		}
	}
	if w.temp == nil && !w.fitsMemory(n) {
		if err := w.toFile(); err != nil {
			return err
		}
	}
	if w.temp == nil {
		w.keep(u.Data)
	} else if err := w.write(u.Data); err != nil {
		return err
	}
	w.crcs = append(w.crcs, u.CRC)
	w.size += n
	return w.pace()
}

// checkUnit checks the length and the checksum of a unit that follows size bytes of the chunk.
func checkUnit(u chunk.Unit, spec chunk.Spec, size int64) error {
	if err := spec.CheckUnit(u, size); err != nil {
		return err
	}
	return u.Check()
}

// fitsMemory reports whether the chunk stays in memory with n more bytes, and if so reserves them.
func (w *writer) fitsMemory(n int64) bool {
	if w.size+n > w.s.cfg.PackBelow || len(w.crcs) >= format.MaxPackUnits {
		return false
	}
	if w.s.buffered.Add(n) > w.s.cfg.BufferLimit {
		w.s.buffered.Add(-n)
		return false
	}
	return true
}

// keep copies a unit, because its owner needs the buffer back soon.
func (w *writer) keep(data []byte) {
	buf := w.s.pool.Lend(len(data))
	copy(buf.Data, data)
	w.bufs = append(w.bufs, buf)
}

// toFile creates the chunk's file in tmp and moves the units in memory to it.
func (w *writer) toFile() error {
	name := fmt.Sprintf("tmp/%s.%d", w.spec.ID, w.s.temps.Add(1))
	f, err := w.s.fs.Create(name)
	if err != nil {
		return w.s.disk.Judge(w.spec.ID, err)
	}
	w.temp = &tempFile{File: f, name: name}
	if w.spec.SizeHint > w.s.cfg.PackBelow {
		w.temp.allocated = format.FileDataAt + w.spec.SizeHint + 4*format.UnitsIn(w.spec.SizeHint, w.spec.UnitSize) + format.FileFooterSize
		if err := f.Preallocate(w.temp.allocated); err != nil {
			return w.s.disk.Judge(w.spec.ID, err)
		}
		w.room.Written(w.spec.SizeHint)
	}
	bufs := [][]byte{format.FileHeader(w.spec)}
	for _, b := range w.bufs {
		bufs = append(bufs, b.Data)
	}
	if _, err := f.WritevAt(bufs, 0); err != nil {
		return w.s.disk.Judge(w.spec.ID, err)
	}
	w.room.Written(w.size)
	w.forget()
	return nil
}

func (w *writer) write(data []byte) error {
	if _, err := w.writeAt(data, format.FileDataAt+w.size); err != nil {
		return w.s.disk.Judge(w.spec.ID, err)
	}
	w.room.Written(w.size + int64(len(data)))
	return nil
}

// writeAt writes to the chunk's file. Where the page cache has used up the memory, the bytes are not kept there: making room for them
// took up to half of the CPU time of a large put.
func (w *writer) writeAt(data []byte, off int64) (int, error) {
	if u, ok := w.temp.File.(vfs.Uncached); ok && w.s.cfg.MemoryShort() {
		return u.WriteAtUncached(data, off)
	}
	return w.temp.WriteAt(data, off)
}

// pace starts the writeback of the bytes that accumulated.
func (w *writer) pace() error {
	if w.temp == nil || w.size-w.temp.flushed < writebackEvery {
		return nil
	}
	if err := w.temp.StartWriteback(format.FileDataAt+w.temp.flushed, w.size-w.temp.flushed); err != nil {
		return w.s.disk.Judge(w.spec.ID, err)
	}
	w.temp.flushed = w.size
	return nil
}

// forget releases the memory.
func (w *writer) forget() {
	for _, b := range w.bufs {
		w.s.buffered.Add(-int64(len(b.Data)))
		b.Release()
	}
	w.bufs = nil
}

// Commit implements chunk.Writer.
func (w *writer) Commit(label chunk.Label) (chunk.Info, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(); err != nil {
		w.end()
		return chunk.Info{}, err
	}
	defer w.s.life.RUnlock()
	defer w.end()
	if len(w.crcs) == 0 {
		return chunk.Info{}, store.Errorf(store.Invalid, "a chunk without units").WithItem(w.spec.ID)
	}
	c, err := w.s.describe(w.spec, label, w.size, w.crcs)
	if err != nil {
		return chunk.Info{}, err
	}
	if w.temp != nil {
		return w.s.exclusively(w.ctx, c.Info, func() error { return w.commitFile(c) })
	}
	data := make([][]byte, len(w.bufs))
	for i, b := range w.bufs {
		data[i] = b.Data
	}
	return w.s.commitRecord(w.ctx, c, data)
}

// describe assembles what is stored beside the data.
func (s *Store) describe(spec chunk.Spec, label chunk.Label, size int64, crcs []uint32) (format.Content, error) {
	if err := format.CheckLabel(label); err != nil {
		return format.Content{}, err
	}
	return format.Content{CRCs: crcs, Info: chunk.Info{
		ID:       spec.ID,
		Size:     size,
		UnitSize: spec.UnitSize,
		Sum:      format.SumOf(crcs),
		StoredAt: s.cfg.Now().Unix(),
		Label:    label,
	}}, s.writable()
}

// exclusively runs the last steps of a commit under the chunk's lock, unless the chunk exists already. A caller that has left
// meanwhile gets nothing stored: it may have asked for the chunk's deletion since, and that may have come first.
func (s *Store) exclusively(ctx context.Context, info chunk.Info, commit func() error) (chunk.Info, error) {
	s.ids.lock(info.ID)
	defer s.ids.unlock(info.ID)
	if err := ctx.Err(); err != nil {
		return chunk.Info{}, err
	}
	have, err := s.existing(info)
	if err != nil || have.ID == info.ID {
		return have, err
	}
	if err := commit(); err != nil {
		return chunk.Info{}, disk.Translate("Commit", info.ID, err)
	}
	return info, nil
}

// existing returns the chunk if it is stored already, zero if it is not, and an error if another content is stored under its id.
func (s *Store) existing(info chunk.Info) (chunk.Info, error) {
	if _, ok := s.index.Find(info.ID, nil); !ok && !s.folders.unlisted(info.ID) {
		return chunk.Info{}, nil
	}
	have, err := s.stat(info.ID)
	switch {
	case errors.Is(err, store.NotFound): // the file was removed behind our back: write it again
		return chunk.Info{}, nil
	case errors.Is(err, store.Corrupt):
		return chunk.Info{}, store.Errorf(store.Exists, "a damaged chunk with this id exists: %w", err).
			WithItem(info.ID).WithHint("Delete it first.")
	case err != nil:
		return chunk.Info{}, err
	case !have.Matches(info.Size, info.Sum):
		return chunk.Info{}, store.Errorf(store.Exists, "a chunk with this id and another checksum exists").WithItem(info.ID)
	}
	return have, nil
}

func (s *Store) commitRecord(ctx context.Context, c format.Content, data [][]byte) (chunk.Info, error) {
	return s.exclusively(ctx, c.Info, func() error {
		return s.log.Append(&format.Record{Kind: format.KindChunk, Content: c, Data: data})
	})
}

// commitFile completes the chunk's file, makes it durable, and only then renames it.
func (w *writer) commitFile(c format.Content) error {
	tail := format.FileTail(c)
	if _, err := w.temp.WriteAt(tail, format.FileDataAt+w.size); err != nil {
		return w.s.disk.Judge(w.spec.ID, err)
	}
	length := format.FileDataAt + w.size + int64(len(tail))
	if w.temp.allocated > length { // the hint was too large
		if err := w.temp.Truncate(length); err != nil {
			return w.s.disk.Judge(w.spec.ID, err)
		}
	}
	if err := w.temp.Datasync(); err != nil {
		if disk.IsFull(err) { // the file is not visible yet, so the outcome is known
			return w.s.disk.Full(w.spec.ID, err)
		}
		return w.s.disk.Fail(err)
	}
	if err := w.s.folders.make(w.spec.ID); err != nil {
		return w.s.disk.Judge(w.spec.ID, err)
	}
	if err := w.s.fs.Rename(w.temp.name, chunkName(w.spec.ID)); err != nil {
		return w.s.disk.Judge(w.spec.ID, err)
	}
	w.temp.name = ""
	if err := w.s.folders.sync(folderOf(w.spec.ID)); err != nil {
		_ = w.s.fs.Remove(chunkName(w.spec.ID)) // not acknowledged; it may still reappear after a crash
		return err
	}
	w.room.Store(length)
	w.s.index.Put(w.spec.ID, index.FileEntry(c.Info.Sum))
	return nil
}

// Abort implements chunk.Writer.
func (w *writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}

// end releases everything that the writer holds. w.mu is held.
func (w *writer) end() {
	if w.ended {
		return
	}
	w.ended = true
	w.forget()
	if w.temp != nil {
		_ = w.temp.Close() // everything that matters was synced
		if w.temp.name != "" {
			_ = w.s.fs.Remove(w.temp.name) // if that fails, the next start does
		}
	}
	w.room.Release()
}
