package transfer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/minio/crc64nvme"
	"golang.org/x/sync/errgroup"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/ctl/retry"
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
	in, out := io.Pipe()
	go func() {
		_, err := localfile.Copy(out, r)
		_ = out.CloseWithError(fromReading("the input", err)) // io.EOF if there was none
	}()
	// The read of a terminal or a pipe cannot be interrupted. Without this reader it ends by itself, or with the process.
	defer in.Close()
	defer context.AfterFunc(ctx, func() { _ = in.Close() })()
	s := &stream{m: m, dst: dst, in: m.limited(ctx, in), kind: cmp.Or(m.ContentType, defaultType)}
	first, ended, err := s.fill(streamPart)
	switch {
	case ctx.Err() != nil:
		return rest.File{}, ctx.Err()
	case err != nil:
		return rest.File{}, err
	}
	var f rest.File
	if ended {
		err = m.try(ctx, nil, int64(len(first)), func(ctx context.Context, _ *lane) (err error) {
			f, err = m.sendBytes(ctx, client.Upload{Bucket: dst.Bucket, Name: dst.Key, ContentType: s.kind}, first)
			return err
		})
	} else {
		f, err = s.putParts(ctx, first)
	}
	if err != nil && ctx.Err() != nil {
		return rest.File{}, ctx.Err()
	}
	return f, withRestartHint(err)
}

// withRestartHint adds to the error of a stream how to try again.
func withRestartHint(err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok && retry.Temporary(e.Kind) {
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

// putParts sends a stream that has more than its first part.
func (s *stream) putParts(ctx context.Context, part []byte) (rest.File, error) {
	n := rest.NewSession{Bucket: s.dst.Bucket, Name: s.dst.Key, ContentType: s.kind}
	f, err := s.m.inSession(ctx, n, func(id string) (rest.CompleteSession, error) {
		err := s.sendParts(ctx, id, part)
		return rest.CompleteSession{Size: &s.size, Checksums: rest.PartsChecksum{CRC64NVME: checksum.Encode(s.crc)}}, err
	})
	if err != nil {
		return rest.File{}, err
	}
	return f, s.m.confirm(ctx, f, s.size, checksum.Encode(s.crc))
}

// sendParts reads the parts one after another and sends several concurrently.
func (s *stream) sendParts(ctx context.Context, session string, part []byte) (err error) {
	s.spare = make(chan []byte, streamLanes+1)
	group, sending := errgroup.WithContext(ctx)
	group.SetLimit(streamLanes)
	for number, ended := 1, false; len(part) > 0; number++ {
		if number > maxParts {
			err = fault.New(problem.TooLarge, "the stream is longer than the largest possible file").WithHint("split it")
			break
		}
		data, crc := part, crc64nvme.Checksum(part)
		s.size, s.crc = s.size+int64(len(data)), checksum.Combine(s.crc, crc, int64(len(data)))
		group.Go(func() error {
			defer func() { s.spare <- data }()
			return s.sendPart(sending, session, number, data, crc)
		})
		if ended || sending.Err() != nil {
			break
		}
		if part, ended, err = s.fill(streamPart << (number / streamStep)); err != nil {
			break
		}
	}
	return cmp.Or(err, group.Wait(), ctx.Err())
}

func (s *stream) sendPart(ctx context.Context, session string, number int, data []byte, crc uint64) error {
	return s.m.try(ctx, nil, int64(len(data)), func(ctx context.Context, _ *lane) error {
		meter := &metered{m: s.m, r: bytes.NewReader(data)}
		_, err := s.m.Client.PutPart(ctx, client.PartUpload{
			Session: session, Number: number, Size: int64(len(data)), CRC: checksum.Encode(crc), Body: meter,
		})
		if err != nil {
			meter.takeBack()
		}
		return err
	})
}
