package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

// readBuffer is the size of the pieces in which a body is read and written, in bytes.
const readBuffer = 512 << 10

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// GetFile fetches a file to a path below root, making the folders on the way. The
// bytes go to a temporary name beside the target, which the target's name is
// given only when all have arrived and their checksum matches; nothing else is
// ever seen under it, and after an error the temporary file is gone. Repeated
// as often as it takes. It is not synced to disk: what is lost in a power cut can be fetched again.
// Its time of change is the one that it was stored with, where it was.
//
// A file of more than Sizes.Whole comes in ranges, several at once, and is synced. Where that is cut
// off, what has arrived stays, and the same call in a later process goes on with it, as long as file is the same.
func (m *Mover) GetFile(ctx context.Context, file rest.File, root *os.Root, path string) (err error) {
	m = m.ready()
	if err := root.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return localFault(err)
	}
	if info, err := root.Lstat(path); err == nil && info.IsDir() {
		return fault.New("conflict", "the target is a folder").WithHint("name a file, or move the folder away")
	}
	if file.Size > m.Sizes.Whole {
		return m.getParts(ctx, file, root, path)
	}
	temp := tempName(path)
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return localFault(err)
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = localFault(closed)
		}
		if err == nil {
			setTime(root, temp, file)
		}
		if err == nil {
			err = localFault(root.Rename(temp, path))
		}
		if err != nil {
			_ = root.Remove(temp)
		}
	}()
	if err := preallocate(f, file.Size); err != nil {
		return localFault(err)
	}
	return m.try(ctx, file.Size, func(ctx context.Context) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return localFault(err)
		}
		return m.fetch(ctx, file, f)
	})
}

// GetStream writes a file to w. Bytes that were written cannot be taken back: what breaks off is
// gone on with where it broke, and Corrupt is found only when all have been written.
func (m *Mover) GetStream(ctx context.Context, file rest.File, w io.Writer) error {
	out := &counting{w: w}
	moved := &metered{meter: m.Meter}
	var crc uint64
	for ended := false; !ended; {
		err := m.Retry.Do(ctx, func() (err error) {
			before := out.n
			sum, err := m.fetchRest(ctx, file, out, moved)
			crc = checksum.Combine(crc, sum, out.n-before)
			e, ok := errors.AsType[*fault.Error](err)
			if ok && passing(e) && out.n > before {
				return nil // it got further: what fails next is another failure
			}
			ended = err == nil
			return err
		})
		if err != nil {
			return err
		}
	}
	return compare(file, out.n, crc)
}

// fetchRest is one try for the bytes behind those that were written, and returns the checksum of those that now were, also with an error.
func (m *Mover) fetchRest(ctx context.Context, file rest.File, out *counting, moved *metered) (crc uint64, err error) {
	var behind *client.Range
	if out.n > 0 {
		behind = &client.Range{First: out.n, Last: -1}
	}
	if out.n > 0 && out.n >= file.Size {
		return 0, nil
	}
	body, err := m.Store.Download(ctx, file.FileID, behind)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return copyOut(out, m.limited(ctx, body), moved)
}

// GetRange writes a range of a file to w. It has no checksum of its own: the
// gateway checked each unit of it. OutOfRange.
func (m *Mover) GetRange(ctx context.Context, file rest.File, r client.Range, w io.Writer) error {
	body, err := m.Store.Download(ctx, file.FileID, &r)
	if err != nil {
		return err
	}
	defer body.Close()
	moved := &metered{meter: m.Meter}
	_, err = copyOut(w, m.limited(ctx, body), moved)
	return err
}

// fetch is one try for all bytes.
func (m *Mover) fetch(ctx context.Context, file rest.File, w io.Writer) (err error) {
	body, err := m.Store.Download(ctx, file.FileID, nil)
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
	crc, err := copyOut(w, m.limited(ctx, body), moved)
	if err != nil {
		return err
	}
	return compare(file, moved.n, crc)
}

// compare says whether what arrived is the file. Corrupt.
func compare(file rest.File, size int64, crc uint64) error {
	if got := checksum.Encode(crc); size != file.Size || got != file.Checksums.CRC64NVME {
		return fault.New("corrupt", "%d bytes with checksum %s arrived, but the file has %d bytes with %s",
			size, got, file.Size, file.Checksums.CRC64NVME).WithHint("try again; if it stays, look where the bytes are: s3ctl stat")
	}
	return nil
}

// copyOut copies all of body to w and returns the CRC64NVME of what was written, also with an error.
func copyOut(w io.Writer, body io.Reader, moved *metered) (crc uint64, err error) {
	buf, _ := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	for {
		n, readErr := body.Read(buf[:])
		if n > 0 {
			written, err := w.Write(buf[:n])
			crc = crc64nvme.Update(crc, buf[:written])
			moved.add(int64(written))
			if err != nil {
				return crc, localFault(err)
			}
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF):
			return crc, nil
		default:
			return crc, readErr
		}
	}
}

// localFault makes a fault of an error of the local file system.
func localFault(err error) error {
	if err == nil {
		return nil
	}
	e := &fault.Error{Kind: fault.KindOf(err), Err: err}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		e.Err = p.Err
	}
	switch {
	case e.Kind == "no_space":
		e.Hint = "free some space, or fetch to another disk; nothing of the file was left behind"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		e.Hint = "a file stands where a folder is needed: two keys cannot both be stored here"
	}
	return e
}

// maxName is the longest file name, in bytes, that common file systems take.
const maxName = 255

// tempName is a name beside path that nobody else has: ".name.part-xxxx".
func tempName(path string) string {
	dir, name := filepath.Split(path)
	suffix := ".part-" + strings.ToLower(rand.Text()[:8])
	for len(name)+1+len(suffix) > maxName {
		_, w := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-w]
	}
	return dir + "." + name + suffix
}

type counting struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
