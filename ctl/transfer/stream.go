package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
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

const (
	// streamPart is the size in bytes of the first parts of a stream. Each part is kept in memory until the server
	// has stored it.
	streamPart = 16 * mib
	// streamStep is the number of parts after which the part size doubles: the length of a stream is unknown, and it
	// may have at most 10,000 parts.
	streamStep = 2000
	// streamLanes is how many parts of a stream are sent at once; one more is being filled.
	streamLanes = 3
)

// PutStream sends r until io.EOF. Each part is kept in memory until the server has stored it and its checksum was
// compared, so that an outage of the server or the network can be retried. A later process cannot resume, since a stream
// cannot be read again.
func (m *Manager) PutStream(ctx context.Context, r io.Reader, dst address.Remote) (rest.File, error) {
	m = m.ready()
	p := newPump(r)
	defer p.stop()
	defer context.AfterFunc(ctx, p.stop)() // the read of a terminal or a pipe cannot be interrupted
	s := &stream{m: m, dst: dst, in: m.limited(ctx, p), kind: cmp.Or(m.ContentType, defaultType)}
	first, ended, err := s.fill(streamPart)
	switch {
	case ctx.Err() != nil:
		return rest.File{}, ctx.Err()
	case err != nil:
		return rest.File{}, err
	case ended:
		return s.putWhole(ctx, first)
	}
	f, err := s.putParts(ctx, first)
	if ctx.Err() != nil {
		return rest.File{}, ctx.Err()
	}
	return f, withRestartHint(err)
}

// withRestartHint adds to the error of a stream how to try again.
func withRestartHint(err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok && retryable(e) {
		e.Hint = "a stream cannot be resumed: run the whole command again"
	}
	return err
}

// stream is the upload of a stream.
type stream struct {
	m    *Manager
	dst  address.Remote
	in   io.Reader
	kind string

	spare chan []byte // buffers of parts that are stored
	size  int64
	crc   uint64
}

// fill reads a part of up to size bytes; ended reports that it is the last.
func (s *stream) fill(size int) (part []byte, ended bool, err error) {
	select {
	case part = <-s.spare:
	default:
	}
	if cap(part) < size {
		part = make([]byte, size)
	}
	part = part[:size]
	n, err := io.ReadFull(s.in, part)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return part[:n], true, nil
	case err != nil:
		return nil, false, err
	}
	return part, false, nil
}

// putWhole sends a stream that was read completely, in one request.
func (s *stream) putWhole(ctx context.Context, data []byte) (f rest.File, err error) {
	crc := crc64nvme.Checksum(data)
	err = s.m.try(ctx, int64(len(data)), func(ctx context.Context) (err error) {
		meter := &metered{meter: s.m.Meter, r: bytes.NewReader(data)}
		u := client.Upload{
			Bucket: s.dst.Bucket, Name: s.dst.Key, ContentType: s.kind, Size: int64(len(data)), CRC: checksum.Encode(crc), Body: meter,
		}
		f, err = s.m.send(ctx, u, meter, func() uint64 { return crc })
		return err
	})
	return f, withRestartHint(err)
}

// putParts sends a stream that has more than its first part.
func (s *stream) putParts(ctx context.Context, part []byte) (f rest.File, err error) {
	var session rest.Session
	n := rest.NewSession{Bucket: s.dst.Bucket, Name: s.dst.Key, ContentType: s.kind}
	if err := s.m.Retry.Do(ctx, func() (err error) { session, err = s.m.Store.CreateSession(ctx, n); return err }); err != nil {
		return rest.File{}, err
	}
	defer func() {
		if err != nil {
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_ = s.m.Store.AbortSession(late, session.SessionID) // it expires otherwise
		}
	}()
	if err := s.sendParts(ctx, session.SessionID, part); err != nil {
		return rest.File{}, err
	}
	whole := checksum.Encode(s.crc)
	err = s.m.Retry.Do(ctx, func() (err error) {
		want := rest.CompleteSession{Size: &s.size, Checksums: rest.PartsChecksum{CRC64NVME: whole}}
		f, err = s.m.Store.CompleteSession(ctx, session.SessionID, want)
		return err
	})
	if err != nil {
		return rest.File{}, err
	}
	return f, s.m.confirm(ctx, f, s.size, whole)
}

// sendParts reads the parts one after another and sends several concurrently.
func (s *stream) sendParts(ctx context.Context, session string, part []byte) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.spare = make(chan []byte, streamLanes+1)
	slots := make(chan struct{}, streamLanes)
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := false
	for number := 1; len(part) > 0; number++ {
		if number > maxParts {
			return fault.New(problem.TooLarge, "the stream is longer than the largest possible file").WithHint("split it")
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		data, crc := part, crc64nvme.Checksum(part)
		s.size, s.crc = s.size+int64(len(data)), checksum.Combine(s.crc, crc, int64(len(data)))
		wg.Go(func() {
			defer func() { <-slots }()
			if err := s.sendPart(ctx, session, number, data, crc); err != nil {
				cancel(err)
			}
			s.spare <- data
		})
		if ended {
			break
		}
		if part, ended, err = s.fill(streamPart << (number / streamStep)); err != nil {
			return err
		}
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (s *stream) sendPart(ctx context.Context, session string, number int, data []byte, crc uint64) error {
	return s.m.try(ctx, int64(len(data)), func(ctx context.Context) error {
		meter := &metered{meter: s.m.Meter, r: bytes.NewReader(data)}
		_, err := s.m.Store.PutPart(ctx, client.PartUpload{
			Session: session, Number: number, Size: int64(len(data)), CRC: checksum.Encode(crc), Body: meter,
		})
		if err != nil {
			meter.takeBack()
		}
		return err
	})
}
