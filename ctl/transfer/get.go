package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// readBuffer is the size in bytes of the buffers through which a body is copied.
const readBuffer = 512 << 10

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// maxSize bounds the file size that a server may announce, in bytes.
const maxSize = 1 << 56

// GetFile fetches a file to a path below root and creates missing folders; findTarget defines which links are followed and
// what is replaced. The bytes are written to a temporary file beside the target, which is renamed to the target only after
// all have arrived and the bytes on disk, read again, have the file's checksum; so the target is never seen incomplete. The
// temporary file is removed after an error. Requests are retried as Retry says. The file is not synced: what a power cut
// takes can be fetched again. The modification time is the stored one, if any; mode and owner are those of the replaced file.
//
// A file larger than Sizes.Whole is fetched in concurrent ranges and synced. If that is interrupted, the ranges that arrived
// are kept, and the same call in a later process resumes, provided that it is the same file.
func (m *Manager) GetFile(ctx context.Context, file rest.File, root *os.Root, path string) error {
	m = m.ready()
	t, err := findTarget(root, path)
	switch {
	case err != nil:
		return err
	case file.Size < 0, file.Size > maxSize:
		return fault.New(problem.Internal, "the server reports a file size of %d bytes", file.Size)
	case file.Size > m.Sizes.Whole:
		return m.getParts(ctx, file, t)
	}
	return m.getWhole(ctx, file, t)
}

// getWhole fetches a file in one request.
func (m *Manager) getWhole(ctx context.Context, file rest.File, t target) (err error) {
	temp := tempName(t.path)
	f, err := t.create(temp)
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = t.root.Remove(temp)
		}
	}()
	if t.old != nil {
		if err := t.copyAttributes(f); err != nil {
			return err
		}
	}
	if err := preallocate(f, file.Size); err != nil {
		return fault.Local(err)
	}
	if err := m.try(ctx, file.Size, func(ctx context.Context) error { return m.fetch(ctx, file, f) }); err != nil {
		return err
	}
	if err := t.place(f, temp, file); err != nil {
		return err
	}
	return fault.Local(f.Close())
}

// GetStream writes a file to w. Written bytes cannot be taken back: an interrupted download continues at the same
// offset, and Corrupt is detected only after all bytes have been written.
func (m *Manager) GetStream(ctx context.Context, file rest.File, w io.Writer) error {
	out := &counting{w: w, most: file.Size}
	moved := &metered{meter: m.Meter}
	for ended := false; !ended; {
		err := m.Retry.Do(ctx, func() (err error) {
			before := out.n
			err = m.fetchRest(ctx, file, out, moved)
			e, ok := errors.AsType[*fault.Error](err)
			if ok && retryable(e) && out.n > before {
				return nil // progress was made: the next failure starts a new count of tries
			}
			ended = err == nil
			return err
		})
		if err != nil {
			return err
		}
	}
	return compare(file, out.n, out.crc)
}

// fetchRest is one attempt to fetch the bytes after those that were written.
func (m *Manager) fetchRest(ctx context.Context, file rest.File, out *counting, moved *metered) error {
	var behind *client.Range
	if out.n > 0 {
		behind = &client.Range{First: out.n, Last: -1}
	}
	if out.n > 0 && out.n >= file.Size {
		return nil
	}
	body, err := m.Store.Download(ctx, file, behind)
	if err != nil {
		return err
	}
	defer body.Close()
	return copyOut(out, m.limited(ctx, body), moved)
}

// GetRange writes a range of a file to w. A range has no checksum of its own; the gateway
// verifies each unit of it. OutOfRange.
func (m *Manager) GetRange(ctx context.Context, file rest.File, r client.Range, w io.Writer) error {
	_, n, err := r.Of(file.Size)
	if err != nil {
		return err
	}
	body, err := m.Store.Download(ctx, file, &r)
	if err != nil {
		return err
	}
	defer body.Close()
	out := &counting{w: w, most: n}
	if err := copyOut(out, m.limited(ctx, body), &metered{meter: m.Meter}); err != nil {
		return err
	}
	return arrived(out.n, n)
}

// arrived checks that as many bytes arrived as were requested. Corrupt.
func arrived(got, want int64) error {
	if got != want {
		return fault.New(problem.Corrupt, "%d bytes arrived, but %d were requested", got, want).WithHint("try again")
	}
	return nil
}

// fetch is one attempt to fetch all bytes of a file; it then compares the checksum of the bytes on disk.
func (m *Manager) fetch(ctx context.Context, file rest.File, f *os.File) (err error) {
	body, err := m.Store.Download(ctx, file, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	moved := &metered{meter: m.Meter}
	defer func() {
		if err != nil {
			moved.takeBack()
		}
	}()
	if err := copyOut(&window{f: f, end: file.Size}, m.limited(ctx, body), moved); err != nil {
		return err
	}
	if err := arrived(moved.n, file.Size); err != nil {
		return err
	}
	crc, short, err := sumFile(ctx, f, file.Size)
	switch {
	case err != nil:
		return err
	case short:
		return fault.New(problem.Corrupt, "the file became shorter while it was written").WithHint("run the same command again, in a folder that no other program writes to")
	}
	return compare(file, file.Size, crc)
}

// compare checks that the bytes that arrived are the file's. Corrupt.
func compare(file rest.File, size int64, crc uint64) error {
	if got := checksum.Encode(crc); size != file.Size || got != file.Checksums.CRC64NVME {
		return fault.New(problem.Corrupt, "%d bytes with checksum %s arrived, but the file has %d bytes with %s",
			size, got, file.Size, file.Checksums.CRC64NVME).WithHint("try again; if it happens again, see where the bytes are stored: s3ctl stat")
	}
	return nil
}

// copyOut copies all of body to w.
func copyOut(w io.Writer, body io.Reader, moved *metered) error {
	buf, _ := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	for {
		n, readErr := body.Read(buf[:])
		if n > 0 {
			written, err := w.Write(buf[:n])
			moved.add(int64(written))
			if err != nil {
				return fault.Local(err)
			}
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF):
			return nil
		default:
			return readErr
		}
	}
}

// errBeyond is the error of a body with more bytes than were requested.
func errBeyond() error {
	return fault.New(problem.Corrupt, "more bytes arrived than were requested").WithHint("try again; if it happens again, check the endpoint and the proxies in between")
}

// window restricts one response to its part of a file, the bytes from off to end. A byte beyond end is Corrupt.
type window struct {
	f        io.WriterAt
	off, end int64
}

// Write implements io.Writer.
func (w *window) Write(p []byte) (int, error) {
	fits := p[:min(int64(len(p)), w.end-w.off)]
	n, err := w.f.WriteAt(fits, w.off)
	w.off += int64(n)
	if err == nil && len(fits) < len(p) {
		err = errBeyond()
	}
	return n, err
}

// maxName is the longest file name, in bytes, that common file systems accept.
const maxName = 255

// tempName is a unique, unpredictable path beside path: ".name.part-xxxxxxxx".
func tempName(path string) string {
	dir, name := filepath.Split(path)
	suffix := ".part-" + strings.ToLower(rand.Text()[:8])
	for len(name)+1+len(suffix) > maxName {
		_, w := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-w]
	}
	return dir + "." + name + suffix
}

// counting passes at most `most` bytes to w and computes their CRC64NVME. A byte beyond is Corrupt.
type counting struct {
	w       io.Writer
	n, most int64
	crc     uint64
}

// Write implements io.Writer.
func (c *counting) Write(p []byte) (int, error) {
	fits := p[:min(int64(len(p)), c.most-c.n)]
	n, err := c.w.Write(fits)
	c.crc = crc64nvme.Update(c.crc, fits[:n])
	c.n += int64(n)
	if err == nil && len(fits) < len(p) {
		err = errBeyond()
	}
	return n, err
}
