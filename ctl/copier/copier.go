// Package copier copies objects on the server: a small one in one request, a large one in concurrent parts. No file bytes
// pass through the client.
package copier

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Store is a gateway; *client.Client is one, and documents the methods.
type Store interface {
	Copy(ctx context.Context, fileID, bucket, name string) (rest.File, error)
	CreateSession(ctx context.Context, n rest.NewSession) (rest.Session, error)
	CopyPart(ctx context.Context, session string, number int, source string, offset, length int64) (rest.SessionPart, error)
	CompleteSession(ctx context.Context, id string, want rest.CompleteSession) (rest.File, error)
	AbortSession(ctx context.Context, id string) error
}

// Sizes define which copies are split into parts, and how, in bytes.
type Sizes struct {
	Whole    int64 // the largest object that is copied in one request
	MinPart  int64
	MaxPart  int64 // exceeded only for a file that would need more than MaxParts
	MaxParts int
}

const mib = 1 << 20

// DefaultSizes keep a request within seconds, since that is what a lost connection costs.
func DefaultSizes() Sizes {
	return Sizes{Whole: 256 * mib, MinPart: 64 * mib, MaxPart: 256 * mib, MaxParts: 10000}
}

// Part is the part size for a file.
func (s Sizes) Part(size int64) int64 {
	const wanted = 16 // parts of a medium-sized file, so that several are copied concurrently
	part := min(max(size/wanted, s.MinPart), s.MaxPart)
	return max(part, (size+int64(s.MaxParts)-1)/int64(s.MaxParts))
}

// Copier copies objects. Its methods are safe for concurrent use.
type Copier struct {
	Store    Store
	Retry    transfer.Retry
	Meter    transfer.Meter // receives the bytes copied
	Sizes    Sizes
	Parallel int // concurrent parts of one file
}

// Copy copies file to dst, with its content type and metadata, retrying as Retry says, and returns the copy as acknowledged:
// durable, visible, and with the source's size and checksum. After an error dst is unchanged, and the session is aborted if
// the server can be reached.
func (c *Copier) Copy(ctx context.Context, file rest.File, dst address.Remote) (rest.File, error) {
	if file.Size > c.Sizes.Whole {
		return c.inParts(ctx, file, dst)
	}
	copied, err := transfer.Try(ctx, c.Retry, func() (rest.File, error) { return c.Store.Copy(ctx, file.FileID, dst.Bucket, dst.Key) })
	if err != nil {
		return rest.File{}, err
	}
	c.Meter.Moved(file.Size)
	return copied, confirm(file, copied)
}

func (c *Copier) inParts(ctx context.Context, file rest.File, dst address.Remote) (rest.File, error) {
	n := rest.NewSession{
		Bucket: dst.Bucket, Name: dst.Key, Size: &file.Size, ContentType: file.ContentType, Meta: file.Meta,
		Checksums: rest.PartsChecksum{CRC64NVME: file.Checksums.CRC64NVME},
	}
	session, err := transfer.Try(ctx, c.Retry, func() (rest.Session, error) { return c.Store.CreateSession(ctx, n) })
	if err != nil {
		return rest.File{}, err
	}
	refs, moved, err := c.parts(ctx, file, session.SessionID)
	var copied rest.File
	if err == nil {
		copied, err = c.complete(ctx, session.SessionID, rest.CompleteSession{Size: n.Size, Parts: refs, Checksums: n.Checksums})
	}
	if err != nil {
		c.Meter.Moved(-moved)
		transfer.Abort(ctx, c.Store, session.SessionID)
		return rest.File{}, err
	}
	return copied, confirm(file, copied)
}

// complete completes the session. Corrupt parts are not retried, since that does not change them.
func (c *Copier) complete(ctx context.Context, session string, want rest.CompleteSession) (rest.File, error) {
	var corrupt error
	copied, err := transfer.Try(ctx, c.Retry, func() (f rest.File, err error) {
		if f, err = c.Store.CompleteSession(ctx, session, want); fault.KindOf(err) == problem.Corrupt {
			corrupt, err = err, nil
		}
		return f, err
	})
	return copied, cmp.Or(err, corrupt)
}

// parts copies the parts concurrently. The first error ends it.
func (c *Copier) parts(ctx context.Context, file rest.File, session string) (refs []rest.PartRef, moved int64, err error) {
	size := c.Sizes.Part(file.Size)
	refs = make([]rest.PartRef, (file.Size+size-1)/size)
	for i := range refs {
		refs[i].Number = i + 1
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var copied atomic.Int64
	transfer.Each(ctx, c.Parallel, slices.Values(refs), func(ref rest.PartRef) {
		offset := int64(ref.Number-1) * size
		length := min(size, file.Size-offset)
		stored, err := transfer.Try(ctx, c.Retry, func() (rest.SessionPart, error) {
			return c.Store.CopyPart(ctx, session, ref.Number, file.FileID, offset, length)
		})
		if err == nil && stored.Size != length {
			err = fault.New(problem.Internal, "part %d has %d bytes instead of %d", ref.Number, stored.Size, length)
		}
		if err != nil {
			cancel(err)
			return
		}
		refs[ref.Number-1].CRC64NVME = stored.CRC64NVME
		c.Meter.Moved(length)
		copied.Add(length)
	})
	return refs, copied.Load(), context.Cause(ctx)
}

// confirm compares size and checksum of the copy and its source.
func confirm(source, copied rest.File) error {
	if copied.Size == source.Size && copied.Checksums.CRC64NVME == source.Checksums.CRC64NVME {
		return nil
	}
	return fault.New(problem.Corrupt, "the copy has %d bytes with checksum %s, but its source has %d bytes with checksum %s",
		copied.Size, copied.Checksums.CRC64NVME, source.Size, source.Checksums.CRC64NVME).
		WithHint("check that the source can be read: s3ctl verify s3://%s/%s", source.Bucket, source.Name)
}
