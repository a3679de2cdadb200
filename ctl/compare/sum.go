package compare

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
)

// readBuffer is the size in bytes of the buffers through which local files are read.
const readBuffer = 512 << 10

var buffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// Sum returns the CRC64NVME of an entry in the encoding of the API. That of an object is known; a local file is
// read.
func (e *Entry) Sum(ctx context.Context) (string, error) {
	if e.File != nil {
		if e.File.Checksums.CRC64NVME == "" {
			return "", fault.New(problem.Internal, "the server has no checksum of it").WithHint("s3ctl stat s3://%s/%s", e.File.Bucket, e.File.Name)
		}
		return e.File.Checksums.CRC64NVME, nil
	}
	f, err := os.Open(e.Path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf, _ := buffers.Get().(*[readBuffer]byte)
	defer buffers.Put(buf)
	crc := uint64(0)
	for ctx.Err() == nil {
		n, err := f.Read(buf[:])
		crc = crc64nvme.Update(crc, buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return checksum.Encode(crc), nil
		case err != nil:
			return "", err
		}
	}
	return "", ctx.Err()
}

// Older reports whether the target, judging by times, has other bytes than the source. If both have a modification time,
// any difference counts, except below the resolution of a file system; otherwise the target must not be older than
// the source.
func Older(target, source *Entry) bool {
	if target.Own && source.Own {
		return !sameTime(target.Time, source.Time)
	}
	return target.Time.Before(source.Time)
}

// sameTime compares times of which one may have been rounded by a file system.
func sameTime(a, b time.Time) bool {
	for _, unit := range []time.Duration{1, 100, time.Microsecond, time.Millisecond, time.Second} {
		if a.Equal(b) || a.Equal(b.Truncate(unit)) || b.Equal(a.Truncate(unit)) {
			return true
		}
	}
	return false
}
