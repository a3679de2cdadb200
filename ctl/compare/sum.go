package compare

import (
	"context"
	"os"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
)

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
	crc, _, err := localfile.Sum(ctx, f)
	if err != nil {
		return "", err
	}
	return checksum.Encode(crc), nil
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
