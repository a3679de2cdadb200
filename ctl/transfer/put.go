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
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// smallFile is the size in bytes up to which a file is read whole before it is sent. Its checksum is then
// sent before the body, and the server rejects damaged bytes, so that no wrong file has to be removed afterwards.
const smallFile = 1 << 20

// PutFile sends a local regular file, retrying as Retry says, and returns it as acknowledged: durable, visible, and with
// the checksum that was computed here. A file that changes while it is sent, or has more bytes than its size says, is
// Conflict, and the object is unchanged. A file of size 0 that has bytes nevertheless (as in /proc) is sent as a stream.
//
// A file larger than Sizes.Whole is sent in concurrent parts. If that is interrupted, the same call in a later
// process resumes, provided that the file has not changed.
func (m *Manager) PutFile(ctx context.Context, path string, dst address.Remote) (rest.File, error) {
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
		more, err := behind(f, 0)
		if err != nil {
			return rest.File{}, fromReading(path, err)
		}
		if more {
			m.ContentType = cmp.Or(m.ContentType, contentType(path))
			return m.PutStream(ctx, f, dst)
		}
	}
	if info.Size() > m.most() {
		return m.putParts(ctx, path, f, info, dst)
	}
	var stored rest.File
	err = m.try(ctx, nil, info.Size(), func(ctx context.Context, _ *lane) (err error) {
		stored, err = m.putOnce(ctx, path, f, info, dst)
		return err
	})
	if errors.Is(err, errChanged) {
		err = changed(path)
	}
	return stored, err
}

// behind reports whether an open file has a byte at off, whatever its size says.
func behind(f *os.File, off int64) (bool, error) {
	n, err := f.ReadAt(make([]byte, 1), off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n > 0, err
}

// putOnce is one attempt to send a whole file.
func (m *Manager) putOnce(ctx context.Context, path string, f *os.File, info os.FileInfo, dst address.Remote) (rest.File, error) {
	u := client.Upload{Bucket: dst.Bucket, Name: dst.Key, Size: info.Size(), ContentType: cmp.Or(m.ContentType, contentType(path)), Meta: metaOf(info)}
	src := m.limited(ctx, &section{
		r: io.NewSectionReader(f, 0, info.Size()), path: path, left: info.Size(), last: func() error { return unchanged(path, f, info) },
	})
	if info.Size() > smallFile {
		sum := crc64nvme.New()
		return m.send(ctx, u, io.TeeReader(src, sum), sum.Sum64)
	}
	whole := wholeFiles.Get().(*[]byte) // the pool holds nothing else
	defer wholeFiles.Put(whole)
	data := (*whole)[:info.Size()]
	if _, err := io.ReadFull(src, data); err != nil {
		return rest.File{}, fromReading(path, err)
	}
	return m.sendBytes(ctx, u, data)
}

// wholeFiles are buffers of smallFile bytes. They can be reused once Upload has returned, since it then reads its body no more.
var wholeFiles = sync.Pool{New: func() any { b := make([]byte, smallFile); return &b }}

// sendBytes uploads data as a file, with its checksum in advance.
func (m *Manager) sendBytes(ctx context.Context, u client.Upload, data []byte) (rest.File, error) {
	crc := crc64nvme.Checksum(data)
	u.Size, u.CRC = int64(len(data)), checksum.Encode(crc)
	return m.send(ctx, u, bytes.NewReader(data), func() uint64 { return crc })
}

// send uploads a file and compares what was stored; crc is called after body was read. After an error the meter is corrected by
// the bytes sent.
func (m *Manager) send(ctx context.Context, u client.Upload, body io.Reader, crc func() uint64) (rest.File, error) {
	moved := &metered{m: m, r: body}
	u.Body = moved
	f, err := m.Client.Upload(ctx, u)
	if err == nil {
		err = m.confirm(ctx, f, moved.n, checksum.Encode(crc()))
	}
	if err != nil {
		moved.takeBack()
		return rest.File{}, err
	}
	return f, nil
}

// confirm compares the size and checksum that the server reports with those of the bytes sent, and deletes the file if they
// differ: wrong bytes must not stay visible under the name.
func (m *Manager) confirm(ctx context.Context, f rest.File, size int64, crc string) error {
	if f.Size == size && f.Checksums.CRC64NVME == crc {
		return nil
	}
	err := fault.New(problem.Corrupt, "the server stored %d bytes with checksum %s, but %d bytes with checksum %s were sent",
		f.Size, f.Checksums.CRC64NVME, size, crc).WithHint("the wrong file was removed; try again, and check the network if it happens often")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if failed := m.Client.DeleteFile(ctx, f.FileID); failed != nil {
		err.Hint = "the wrong file could not be removed (" + failed.Error() + "): s3ctl rm s3://" + f.Bucket + "/" + f.Name
	}
	return err
}

// contentType guesses the content type from the name, the only cheap evidence.
func contentType(path string) string {
	t := mime.TypeByExtension(filepath.Ext(path))
	// The API would parse a body of these two types as a form.
	if t == "" || strings.HasPrefix(t, "multipart/") || strings.HasPrefix(t, "application/x-www-form-urlencoded") {
		return defaultType
	}
	return t
}

// defaultType is the content type of bytes whose type is unknown.
const defaultType = "application/octet-stream"

// section reads exactly the bytes of a file, or of a part of it: it fails if the file ends earlier. Before it returns the last of
// them it calls last; if that fails, a server that lacks the last bytes stores nothing.
type section struct {
	r    io.Reader
	path string
	left int64
	last func() error
}

// Read implements io.Reader. Its errors are *fault.Error.
func (s *section) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && s.left > 0:
		return 0, errChanged
	case err != nil && !errors.Is(err, io.EOF):
		return 0, fromReading(s.path, err)
	case s.left == 0:
		if err := s.last(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// errChanged: the local file has changed since it was opened.
var errChanged error = fault.New(problem.Conflict, "the file changed while it was sent")

// changed is errChanged for the user, after nothing was stored.
func changed(path string) error {
	return fault.New(problem.Conflict, "%v; nothing was stored", errChanged).
		WithHint("try again when no program writes to it, or store its present content: s3ctl put - s3://BUCKET/KEY < %s", path)
}

// unchanged checks that an open file still is as info says, and has no further bytes: errChanged.
func unchanged(path string, f *os.File, info os.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return fromReading(path, err)
	}
	more, err := behind(f, info.Size())
	if err == nil && (more || fingerprintOf(now) != fingerprintOf(info)) {
		return errChanged
	}
	return fromReading(path, err)
}

// fromReading classifies a local read error, so that it is not mistaken for a network error.
func fromReading(path string, err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	return fault.Wrap("read "+path, err)
}

// metered reports the bytes that are read or written through it to the manager's meter.
type metered struct {
	m *Manager
	r io.Reader
	w io.Writer
	n int64
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.add(int64(n))
	return n, err
}

// Write implements io.Writer. Its error is one of the local system.
func (m *metered) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.add(int64(n))
	return n, fault.Local(err)
}

func (m *metered) add(n int64) {
	if n != 0 {
		m.n += n
		m.m.Meter.Moved(n)
	}
	if n > 0 {
		m.m.Lanes.flow.moved(n)
	}
}

func (m *metered) takeBack() { m.add(-m.n) }
