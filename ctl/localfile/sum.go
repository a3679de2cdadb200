package localfile

import (
	"context"
	"io"
	"sync"

	"github.com/minio/crc64nvme"
)

// bufferSize is the size in bytes of the buffers through which files and bodies are read.
const bufferSize = 512 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Copy copies r to w until io.EOF, through a large buffer. It calls no other methods of them than Read and Write.
func Copy(w io.Writer, r io.Reader) (int64, error) {
	buf, _ := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
}

// Sum reads r until io.EOF and returns the CRC64NVME of its bytes and how many they are. Errors: those of r, and the context's.
func Sum(ctx context.Context, r io.Reader) (crc uint64, n int64, err error) {
	sum := crc64nvme.New()
	n, err = Copy(sum, untilEnd{ctx, r})
	return sum.Sum64(), n, err
}

// untilEnd is a reader that fails once ctx has ended.
type untilEnd struct {
	ctx context.Context //nolint:containedctx // of the one call that reads
	io.Reader
}

// Read implements io.Reader.
func (u untilEnd) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}
