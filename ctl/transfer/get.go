package transfer

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// maxSize bounds the file size that a server may announce, in bytes.
const maxSize = 1 << 56

// GetFile fetches a file to a path below root and creates missing folders; localfile.Find defines which links are followed and
// what is replaced. The bytes are written to a temporary file beside the target, which is renamed to the target only after
// all have arrived and the bytes on disk, read again, have the file's checksum; so the target is never seen incomplete. The
// temporary file is removed after an error. Requests are retried as Retry says. The file is not synced: what a power cut
// takes can be fetched again. The modification time is the stored one, if any; mode and owner are those of the replaced file.
//
// A file larger than Sizes.Whole is fetched in concurrent ranges and synced. If that is interrupted, the ranges that arrived
// are kept, and the same call in a later process resumes, provided that it is the same file.
func (m *Manager) GetFile(ctx context.Context, file rest.File, root *os.Root, path string) error {
	m = m.ready()
	t, err := localfile.Find(root, path)
	switch {
	case err != nil:
		return err
	case file.Size < 0, file.Size > maxSize:
		return fault.New(problem.Internal, "the server reports a file size of %d bytes", file.Size)
	case file.Size > m.most():
		return m.getParts(ctx, file, t)
	}
	return m.getWhole(ctx, file, t)
}

// getWhole fetches a file in one request.
func (m *Manager) getWhole(ctx context.Context, file rest.File, t localfile.Target) (err error) {
	temp := t.TempName()
	f, err := t.Create(temp)
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = t.Root.Remove(temp)
		}
	}()
	if err := localfile.Preallocate(f, file.Size); err != nil {
		return fault.Local(err)
	}
	if err := m.try(ctx, nil, file.Size, func(ctx context.Context, _ *lane) error { return m.fetch(ctx, file, f) }); err != nil {
		return err
	}
	if err := t.Place(f, temp, file.Size, modified(file)); err != nil {
		return err
	}
	return fault.Local(f.Close())
}

// modified is the modification time that was stored with a file, or zero.
func modified(file rest.File) time.Time {
	at, err := time.Parse(time.RFC3339Nano, file.Meta["mtime"])
	if err != nil {
		return time.Time{}
	}
	return at
}

// GetStream writes a file to w. Written bytes cannot be taken back: an interrupted download continues at the same
// offset, and Corrupt is detected only after all bytes have been written.
func (m *Manager) GetStream(ctx context.Context, file rest.File, w io.Writer) error {
	m = m.ready()
	sum := crc64nvme.New()
	out := &bounded{w: io.MultiWriter(w, sum), most: file.Size}
	moved := &metered{m: m}
	err := m.continued(ctx, out, func() error {
		switch {
		case out.n == 0:
			return m.receive(ctx, file, nil, out, moved)
		case out.n < file.Size:
			return m.receive(ctx, file, &client.Range{First: out.n, Last: -1}, out, moved)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return compare(file, out.n, sum.Sum64())
}

// continued retries what receives to out. An attempt that received something is progress: the next failure is a first one.
func (m *Manager) continued(ctx context.Context, out *bounded, receive func() error) error {
	for ended := false; !ended; {
		err := m.Retry.Do(ctx, func() error {
			before := out.n
			err := receive()
			if e, ok := errors.AsType[*fault.Error](err); ok && retry.Temporary(e.Kind) && out.n > before {
				return nil
			}
			ended = err == nil
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// receive is one attempt to fetch a file, or a range of it, to w.
func (m *Manager) receive(ctx context.Context, file rest.File, r *client.Range, w io.Writer, moved *metered) error {
	body, err := m.Client.Download(ctx, file, r)
	if err != nil {
		return err
	}
	defer body.Close()
	moved.w = w
	_, err = localfile.Copy(moved, m.limited(ctx, body))
	return err
}

// GetRange writes a range of a file to w, and after an interruption continues at the same offset. A range has no checksum of its
// own; the gateway verifies each unit of it. OutOfRange.
func (m *Manager) GetRange(ctx context.Context, file rest.File, r client.Range, w io.Writer) error {
	m = m.ready()
	off, n, err := r.Of(file.Size)
	if err != nil {
		return err
	}
	out, moved := &bounded{w: w, most: n}, &metered{m: m}
	err = m.continued(ctx, out, func() error {
		if out.n >= n {
			return nil
		}
		return m.receive(ctx, file, &client.Range{First: off + out.n, Last: off + n - 1}, out, moved)
	})
	if err != nil {
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
func (m *Manager) fetch(ctx context.Context, file rest.File, f *os.File) error {
	out := &bounded{w: io.NewOffsetWriter(f, 0), most: file.Size}
	if err := m.fetchRange(ctx, file, nil, out, file.Size); err != nil {
		return err
	}
	crc, short, err := sumFile(ctx, f, file.Size)
	if err == nil && short {
		err = fault.New(problem.Corrupt, "the file became shorter while it was written").WithHint("run the same command again, in a folder that no other program writes to")
	}
	if err == nil {
		err = compare(file, file.Size, crc)
	}
	if err != nil {
		m.Meter.Moved(-file.Size)
	}
	return err
}

// fetchRange is one attempt to fetch the n bytes of a range, nil meaning the whole file, to w. After an error the meter is
// corrected.
func (m *Manager) fetchRange(ctx context.Context, file rest.File, r *client.Range, w io.Writer, n int64) error {
	moved := &metered{m: m}
	err := m.receive(ctx, file, r, w, moved)
	if err == nil {
		err = arrived(moved.n, n)
	}
	if err != nil {
		moved.takeBack()
	}
	return err
}

// compare checks that the bytes that arrived are the file's. Corrupt.
func compare(file rest.File, size int64, crc uint64) error {
	if got := checksum.Encode(crc); size != file.Size || got != file.Checksums.CRC64NVME {
		return fault.New(problem.Corrupt, "%d bytes with checksum %s arrived, but the file has %d bytes with %s",
			size, got, file.Size, file.Checksums.CRC64NVME).WithHint("try again; if it happens again, see where the bytes are stored: s3ctl stat")
	}
	return nil
}

// bounded passes at most `most` bytes to w. A byte beyond is Corrupt.
type bounded struct {
	w       io.Writer
	n, most int64
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	fits := p[:min(int64(len(p)), b.most-b.n)]
	n, err := b.w.Write(fits)
	b.n += int64(n)
	if err == nil && len(fits) < len(p) {
		err = fault.New(problem.Corrupt, "more bytes arrived than were requested").
			WithHint("try again; if it happens again, check the endpoint and the proxies in between")
	}
	return n, err
}
