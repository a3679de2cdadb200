package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

// smallFile is the size in bytes up to which a file is read whole before it is
// sent. Its checksum then goes ahead of it, and the server refuses a damaged
// one instead of our having to remove it.
const smallFile = 1 << 20

// PutFile sends a local regular file, as often as it takes, and returns it as
// acknowledged: durable, visible, and of the checksum that was computed here.
// A file that changes while it is sent, or has more bytes than the system says, is Conflict, and what was visible before
// stays. A file of which the system says that it is empty, but that has bytes (as in /proc), is sent as a stream.
//
// A file of more than Sizes.Whole goes in parts, several at once. Where that is cut
// off, the same call in a later process continues with it, as long as the file is the same.
func (m *Mover) PutFile(ctx context.Context, path string, dst address.Remote) (rest.File, error) {
	m = m.ready()
	f, err := os.Open(path)
	if err != nil {
		return rest.File{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return rest.File{}, err
	}
	if info.Size() == 0 {
		if more, err := behind(f, 0); err != nil || more {
			return m.putUnsized(ctx, path, f, err, dst)
		}
	}
	if info.Size() > m.Sizes.Whole {
		return m.putParts(ctx, path, f, info, dst)
	}
	var stored rest.File
	err = m.try(ctx, info.Size(), func(ctx context.Context) (err error) {
		stored, err = m.putOnce(ctx, path, f, info, dst)
		return err
	})
	return stored, err
}

// putUnsized sends a file whose size is not known before its end.
func (m *Mover) putUnsized(ctx context.Context, path string, f *os.File, err error, dst address.Remote) (rest.File, error) {
	if err != nil {
		return rest.File{}, fromReading(path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return rest.File{}, fromReading(path, err)
	}
	m.ContentType = cmp.Or(m.ContentType, contentType(path))
	return m.PutStream(ctx, f, dst)
}

// behind says whether an open file has a byte at the offset, whatever the system says about its size. It moves the file's own offset there.
func behind(f *os.File, off int64) (bool, error) {
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return false, err
	}
	n, err := f.Read(make([]byte, 1))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n > 0, err
}

// putOnce is one try for a whole file.
func (m *Mover) putOnce(ctx context.Context, path string, f *os.File, info os.FileInfo, dst address.Remote) (rest.File, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return rest.File{}, fromReading(path, err)
	}
	u := client.Upload{Bucket: dst.Bucket, Name: dst.Key, Size: info.Size(), ContentType: cmp.Or(m.ContentType, contentType(path)), Meta: metaOf(info)}
	src := m.limited(ctx, &fileReader{f: f, info: info, left: info.Size()})
	meter := &metered{meter: m.Meter}
	if info.Size() > smallFile {
		summed := &summer{r: src}
		meter.r = summed
		u.Body = meter
		return m.send(ctx, u, meter, func() uint64 { return summed.crc })
	}
	whole := wholeFiles.Get().(*[]byte) // the pool holds nothing else
	defer wholeFiles.Put(whole)
	data := (*whole)[:info.Size()]
	if _, err := io.ReadFull(src, data); err != nil {
		return rest.File{}, fromReading(path, err)
	}
	crc := crc64nvme.Checksum(data)
	u.CRC = checksum.Encode(crc)
	meter.r = bytes.NewReader(data)
	u.Body = meter
	return m.send(ctx, u, meter, func() uint64 { return crc })
}

// wholeFiles are buffers of smallFile bytes. Upload gives them back: after it, nobody reads its body.
var wholeFiles = sync.Pool{New: func() any { b := make([]byte, smallFile); return &b }}

// send uploads and compares. Bytes that did not arrive are taken back from the meter.
func (m *Mover) send(ctx context.Context, u client.Upload, moved *metered, crc func() uint64) (rest.File, error) {
	f, err := m.Store.Upload(ctx, u)
	if err == nil {
		err = m.confirm(ctx, f, moved.n, checksum.Encode(crc()))
	}
	if err != nil {
		moved.takeBack()
		return rest.File{}, err
	}
	return f, nil
}

// confirm compares what the server says it has with what was sent. A file that
// is not ours to the last byte must not stay under our name.
func (m *Mover) confirm(ctx context.Context, f rest.File, size int64, crc string) error {
	if f.Size == size && f.Checksums.CRC64NVME == crc {
		return nil
	}
	err := fault.New("corrupt", "the server stored %d bytes with checksum %s, but %d bytes with %s were sent",
		f.Size, f.Checksums.CRC64NVME, size, crc).WithHint("the wrong file was removed again; try once more, and check the network if it happens often")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if failed := m.Store.DeleteFile(ctx, f.FileID); failed != nil {
		err.Hint = "the wrong file could not be removed (" + failed.Error() + "): s3ctl rm s3://" + f.Bucket + "/" + f.Name
	}
	return err
}

// contentType guesses from the name, as there is nothing else that is cheap.
func contentType(path string) string {
	t := mime.TypeByExtension(filepath.Ext(path))
	// The API reads these two as forms, not as the file that they are here.
	if t == "" || strings.HasPrefix(t, "multipart/") || strings.HasPrefix(t, "application/x-www-form-urlencoded") {
		return defaultType
	}
	return t
}

// defaultType is for bytes of which nothing is known.
const defaultType = "application/octet-stream"

// fileReader reads exactly the bytes that the file had when it was opened. Before
// it gives the last of them it looks whether there is no other behind them, and the file is still the same: a server
// that lacks them stores nothing.
type fileReader struct {
	f    *os.File
	info os.FileInfo
	left int64
}

// Read implements io.Reader.
func (r *fileReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.f.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		return 0, r.changed()
	case err != nil && !errors.Is(err, io.EOF):
		return 0, fromReading(r.f.Name(), err)
	case r.left > 0:
		return n, nil
	}
	more, err := behind(r.f, r.info.Size())
	if err != nil {
		return 0, fromReading(r.f.Name(), err)
	}
	now, err := r.f.Stat()
	if err != nil {
		return 0, fromReading(r.f.Name(), err)
	}
	if more || now.Size() != r.info.Size() || !now.ModTime().Equal(r.info.ModTime()) {
		return 0, r.changed()
	}
	return n, nil
}

func (r *fileReader) changed() error { return changed(r.f.Name()) }

// fromReading makes a fault of a local read error, so that it is not taken for one of the network.
func fromReading(path string, err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	return fault.Wrap("read "+path, err)
}

// summer reckons the CRC64NVME of what passes.
type summer struct {
	r   io.Reader
	crc uint64
}

// Read implements io.Reader.
func (s *summer) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.crc = crc64nvme.Update(s.crc, p[:n])
	return n, err
}

// metered tells a meter what passes.
type metered struct {
	r     io.Reader
	meter Meter
	n     int64
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.add(int64(n))
	return n, err
}

func (m *metered) add(n int64) {
	if n != 0 {
		m.n += n
		m.meter.Moved(n)
	}
}

func (m *metered) takeBack() { m.add(-m.n) }
