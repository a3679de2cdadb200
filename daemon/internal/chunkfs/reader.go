package chunkfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/disk"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/format"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/index"
	"github.com/ringstore/ringstore/daemon/internal/chunkfs/segment"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// source is a chunk in either format, open for reading.
type source struct {
	format.Content
	file   io.ReaderAt
	dataAt int64 // offset of the first data byte in file
	close  func() error
}

// errReaderClosed is returned by a reader that is used after its end.
var errReaderClosed error = store.Errorf(store.Canceled, "the reader was closed")

// maxLookups is how often a chunk is looked up whose segment was removed before its file was opened. Each further one takes another
// compaction between the look-up and the opening of a file.
const maxLookups = 8

// source opens a chunk and checks everything but its data. The caller closes it.
func (s *Store) source(id store.ChunkID) (source, error) {
	var before index.Entry // the place whose segment had no file
	for range maxLookups {
		var seg *segment.Segment
		e, ok := s.index.Find(id, func(e index.Entry) {
			if !e.IsFile() {
				seg = s.table.Acquire(e.Seg)
			}
		})
		switch {
		case !ok && !s.folders.unlisted(id):
			return source{}, fs.ErrNotExist
		case !ok, e.IsFile():
			return s.fileSource(id)
		case seg == nil:
			return source{}, withoutSegment(id, e)
		}
		src, err := packedSource(seg, id, e)
		if err == nil {
			return src, nil
		}
		seg.Release()
		if !errors.Is(err, fs.ErrNotExist) {
			return source{}, err
		}
		if e == before { // compaction moves what is live before it removes a segment
			return source{}, withoutSegment(id, e)
		}
		before = e
	}
	return source{}, store.Errorf(store.Unavailable, "compaction moved it during each of %d look-ups", maxLookups).WithItem(id)
}

func withoutSegment(id store.ChunkID, e index.Entry) error {
	return disk.Corrupt(id, "%s, which holds it, does not exist", segment.Name(e.Seg))
}

func (s *Store) fileSource(id store.ChunkID) (source, error) {
	f, err := s.fs.OpenRead(chunkName(id))
	if err != nil {
		return source{}, err
	}
	c, err := format.ReadChunkFile(f, id)
	if err != nil {
		return source{}, errors.Join(err, f.Close())
	}
	return source{Content: c, file: f, dataAt: format.FileDataAt, close: f.Close}, nil
}

// packedSource opens a chunk in a segment, which the caller has acquired. Closing it releases the segment.
func packedSource(seg *segment.Segment, id store.ChunkID, e index.Entry) (source, error) {
	f, err := seg.Open()
	if err != nil {
		return source{}, err
	}
	head := make([]byte, e.Head)
	if err := format.ReadFull(f, head, int64(e.Off)); err != nil {
		return source{}, err
	}
	r, ok := format.ParseHeader(head, e.Place(), seg.Salt)
	switch {
	case !ok:
		return source{}, disk.Corrupt(id, "the record's header in segment %08x at %d does not match its checksum", e.Seg, e.Off)
	case r.Info.ID != id || r.Kind != format.KindChunk:
		return source{}, disk.Corrupt(id, "the record in segment %08x at %d holds another chunk: %s", e.Seg, e.Off, r.Info.ID)
	}
	closed := func() error {
		seg.Release()
		return nil
	}
	return source{Content: r.Content, file: f, dataAt: int64(e.Off) + r.Head, close: closed}, nil
}

// sound reports whether the whole chunk matches its checksums.
func (s *Store) sound(id store.ChunkID) bool {
	src, err := s.source(id)
	if err != nil {
		return false
	}
	for n := range src.CRCs {
		u, err := src.unit(s.pool, n)
		if err != nil {
			_ = src.close()
			return false
		}
		u.Release()
	}
	return src.close() == nil
}

// place returns where unit n lies in the chunk's data, and its length, in bytes.
func (src *source) place(n int) (off int64, length int) {
	off = int64(n) * int64(src.Info.UnitSize)
	return off, int(min(int64(src.Info.UnitSize), src.Info.Size-off))
}

// unit reads unit n into a buffer of the pool and checks it. The unit owns the buffer.
func (src *source) unit(pool *bufpool.Pool, n int) (chunk.Unit, error) {
	off, length := src.place(n)
	buf := pool.Lend(length)
	u := chunk.Unit{Data: buf.Data, CRC: src.CRCs[n], Owner: buf}
	err := format.ReadFull(src.file, buf.Data, src.dataAt+off)
	if err == nil {
		err = u.Check()
	}
	if err != nil {
		buf.Release()
		return chunk.Unit{}, err
	}
	return u, nil
}

// Open implements chunk.ReaderOpener.
func (s *Store) Open(ctx context.Context, id store.ChunkID, first, count int) (chunk.Reader, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	src, err := s.source(id)
	if err != nil {
		return nil, disk.ReadFailed("Open", id, err)
	}
	end := len(src.CRCs)
	if first < 0 || first >= end {
		_ = src.close()
		return nil, store.Errorf(store.OutOfRange, "unit %d of %d", first, end).WithItem(id)
	}
	if count >= 0 && count < end-first {
		end = first + count
	}
	return &reader{ctx: ctx, pool: s.pool, src: src, next: first, end: end}, nil
}

// Verify implements chunk.Verifier.
func (s *Store) Verify(ctx context.Context, id store.ChunkID) error {
	return chunk.VerifyByReading(ctx, s, id)
}

// reader is a chunk.Reader and a chunk.RangeReader. next and end belong to the goroutine that
// reads; Close may come from another.
type reader struct {
	ctx    context.Context
	pool   *bufpool.Pool
	src    source
	next   int // number of the next unit
	end    int // one past the last
	closed atomic.Bool
}

// ready reports why there is no next unit.
func (r *reader) ready() error {
	switch {
	case r.closed.Load():
		return errReaderClosed
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case r.next >= r.end:
		return io.EOF
	}
	return nil
}

// shortRange is the size in bytes below which a unit is not worth to be sent from its file.
const shortRange = 64 << 10

// NextRange implements chunk.RangeReader.
func (r *reader) NextRange() (chunk.Range, error) {
	if err := r.ready(); err != nil {
		return chunk.Range{}, err
	}
	off, length := r.src.place(r.next)
	file, ok := r.src.file.(syscall.Conn)
	if !ok || length < shortRange {
		return chunk.Range{}, nil
	}
	r.next++
	return chunk.Range{File: file, Offset: r.src.dataAt + off, Length: length, CRC: r.src.CRCs[r.next-1]}, nil
}

// Next implements chunk.Reader.
func (r *reader) Next() (chunk.Unit, error) {
	if err := r.ready(); err != nil {
		return chunk.Unit{}, err
	}
	u, err := r.src.unit(r.pool, r.next)
	switch {
	case err == nil:
		r.next++
		return u, nil
	case r.closed.Load(): // the file was closed during the read
		return chunk.Unit{}, errReaderClosed
	}
	r.end = r.next
	return chunk.Unit{}, disk.ReadFailed("Next", r.src.Info.ID, err)
}

// Close implements chunk.Reader.
func (r *reader) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	return disk.Translate("Close", r.src.Info.ID, r.src.close())
}
