package transfer

import (
	"context"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// copyStreams is how many parts a medium-sized file is copied in, so that several are copied concurrently.
const copyStreams = 16

// CopyFile copies a file on the server to dst, with its content type and metadata, and returns the copy as acknowledged: durable,
// visible, and with the source's size and checksum. No file bytes pass through the client. Requests are retried as Retry says.
// After an error dst is unchanged, and the session is aborted if the server can be reached.
//
// A file larger than Copies.Whole is copied in concurrent parts.
func (m *Manager) CopyFile(ctx context.Context, file rest.File, dst address.Remote) (copied rest.File, err error) {
	m = m.ready()
	if file.Size > m.Copies.Whole {
		copied, err = m.copyParts(ctx, file, dst)
	} else {
		err = m.try(ctx, nil, file.Size, func(ctx context.Context, _ *lane) (err error) {
			copied, err = m.Client.Copy(ctx, file.FileID, dst.Bucket, dst.Key)
			return err
		})
		if err == nil {
			m.Meter.Moved(file.Size)
		}
	}
	if err != nil {
		return rest.File{}, err
	}
	if copied.Size != file.Size || copied.Checksums.CRC64NVME != file.Checksums.CRC64NVME {
		err = fault.New(problem.Corrupt, "the copy has %d bytes with checksum %s, but its source has %d bytes with checksum %s",
			copied.Size, copied.Checksums.CRC64NVME, file.Size, file.Checksums.CRC64NVME).
			WithHint("check that the source can be read: s3ctl verify s3://%s/%s", file.Bucket, file.Name)
	}
	return copied, err
}

func (m *Manager) copyParts(ctx context.Context, file rest.File, dst address.Remote) (copied rest.File, err error) {
	n := rest.NewSession{
		Bucket: dst.Bucket, Name: dst.Key, Size: &file.Size, ContentType: file.ContentType, Meta: file.Meta,
		Checksums: rest.PartsChecksum{CRC64NVME: file.Checksums.CRC64NVME},
	}
	unit := m.Copies.unit(file.Size)
	all := newPieces(file.Size, unit)
	copied, err = m.inSession(ctx, n, func(id string) (rest.CompleteSession, error) {
		err := m.each(ctx, all, m.Copies.share(file.Size, unit, copyStreams), func(ctx context.Context, s span, first *lane) (rest span, err error) {
			rest = s
			err = m.try(ctx, first, s.n, func(ctx context.Context, _ *lane) error {
				number := all.number(s.off)
				stored, err := m.Client.CopyPart(ctx, id, number, file.FileID, s.off, s.n)
				if err != nil {
					return err
				}
				crc, err := checksum.Decode(stored.CRC64NVME)
				if err != nil || stored.Size != s.n {
					return fault.New(problem.Internal, "part %d has %d bytes instead of %d, and the checksum %q", number, stored.Size, s.n, stored.CRC64NVME)
				}
				all.record(piece{s, crc})
				rest = span{s.end(), 0}
				m.Meter.Moved(s.n)
				return nil
			})
			return rest, err
		})
		return rest.CompleteSession{Size: n.Size, Parts: all.refs(), Checksums: n.Checksums}, err
	})
	if err != nil {
		m.Meter.Moved(-all.bytes())
	}
	return copied, err
}
