package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/daemon/internal/erasure"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/writemem"
)

// Sums are the size and checksums of a body.
type Sums struct {
	Size   int64
	CRC64  uint64 // CRC64NVME
	SHA256 []byte // 32 bytes; nil unless wanted
}

// bodyReader reads a body into stripes and computes its sums.
type bodyReader struct {
	body      io.Reader
	size      int64 // announced, or -1
	most      int64 // bytes that the body has at most; size where that is known, -1 where nothing is
	limit     int64 // bytes that are accepted at most
	caller    string
	interrupt func(error)
	mem       *writemem.Upload // set by open
	total     int64            // bytes so far
	crc       uint64
	sha       hash.Hash // nil unless wanted
	ended     bool      // the body was read to its end, and had the announced length

	ahead  []byte    // bytes that were read before there was memory in a stripe for them
	failed error     // of the read that returned the last byte of ahead
	eager  bool      // the last read filled its buffer: more bytes have probably arrived
	first  [512]byte // the memory of ahead; the connection's buffer holds what follows
}

// newBodyReader returns a reader of a body of size bytes, or, where that is -1, of at most most bytes; 0: there is no bound.
func newBodyReader(body io.Reader, size, most, limit int64, wantSHA256 bool) *bodyReader {
	if size >= 0 || most <= 0 {
		most = size
	}
	in := &bodyReader{body: body, size: size, most: most, limit: limit}
	if wantSHA256 {
		in.sha = sha256.New()
	}
	return in
}

// open opens the upload's account of write memory; the caller closes in.mem.
func (in *bodyReader) open(pool *writemem.Pool) {
	in.mem = pool.Open(writemem.Client{Caller: in.caller, Most: in.most, Interrupt: in.interrupt})
}

// next returns the next stripe, filled. Memory is taken as bytes arrive: an upload that has sent
// nothing holds none. The stripe has no data when the body ended at the end of the stripe before. The
// caller releases it. Errors: Unavailable (no memory became free in time), Canceled (the client
// disconnected or was too slow), TooLarge, Invalid (length).
func (in *bodyReader) next(ctx context.Context, l erasure.Layout) (*erasure.Stripe, error) {
	expect := 0
	if in.size >= 0 || l.K == 1 && in.most >= 0 { // the length of data units depends on the true size
		expect = int(max(1, min(in.most-in.total, int64(l.StripeSize()))))
	}
	newStripe := erasure.NewStripe
	if in.total == 0 {
		newStripe = erasure.NewFirstStripe
	}
	s, err := newStripe(in.mem, l, expect)
	if err != nil {
		return nil, err
	}
	if err := in.fill(ctx, s); err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

func (in *bodyReader) fill(ctx context.Context, s *erasure.Stripe) error {
	for !s.Full() && in.total != in.most {
		if len(s.Space()) == 0 {
			if err := in.arrival(); err != nil {
				return in.end(err)
			}
			if err := s.Extend(ctx); err != nil {
				return err
			}
		}
		space := s.Space()
		n, err := in.read(space)
		s.Add(n)
		in.take(space[:n])
		switch {
		case in.total > in.limit:
			return tooLarge(in.limit)
		case in.most >= 0 && in.total > in.most:
			return in.tooLong()
		case err != nil:
			return in.end(err)
		}
	}
	if in.total == in.most {
		return in.end(in.expectEnd())
	}
	return nil
}

// end interprets the error of a read: nil where the body is complete.
func (in *bodyReader) end(err error) error {
	switch {
	case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return bodyError(err, in.total)
	case in.size >= 0 && in.total != in.size:
		return store.Errorf(store.Invalid, "the body ended after %d of %d bytes", in.total, in.size).
			WithHint("Send the file again.")
	}
	in.ended = true
	return nil
}

// arrival waits until a byte has arrived, before memory for it is taken.
func (in *bodyReader) arrival() error {
	for !in.eager && len(in.ahead) == 0 {
		n, err := in.read(in.first[:])
		in.ahead, in.failed, in.eager = in.first[:n], err, false
		if n == 0 && err != nil {
			return err
		}
	}
	return nil
}

// read returns the bytes that were read ahead, then those of the body.
func (in *bodyReader) read(p []byte) (int, error) {
	if len(in.ahead) > 0 {
		n := copy(p, in.ahead)
		in.ahead = in.ahead[n:]
		return n, nil
	}
	if in.failed != nil {
		return 0, in.failed
	}
	n, err := in.mem.Read(in.body, p)
	in.eager = err == nil && n == len(p)
	return n, err
}

func (in *bodyReader) take(data []byte) {
	in.total += int64(len(data))
	in.crc = crc64nvme.Update(in.crc, data)
	if in.sha != nil {
		in.sha.Write(data)
	}
}

// expectEnd reads beyond the maximum length, where only the end may follow.
func (in *bodyReader) expectEnd() error {
	var one [1]byte
	for {
		n, err := in.read(one[:])
		if n > 0 {
			return in.tooLong()
		}
		if err != nil {
			return err
		}
	}
}

func (in *bodyReader) tooLong() error {
	return store.Errorf(store.Invalid, "the body is longer than the announced %d bytes", in.most).
		WithHint("Send the file again, with its true size.")
}

// sums returns the sums of the whole body; nothing may be read afterwards.
func (in *bodyReader) sums() Sums {
	s := Sums{Size: in.total, CRC64: in.crc}
	if in.sha != nil {
		s.SHA256 = in.sha.Sum(nil)
	}
	return s
}

func tooLarge(limit int64) error {
	return store.Errorf(store.TooLarge, "the file is larger than the limit of %d bytes", limit).
		WithLimit("file_size", 0).WithHint("Split the file, or raise the gateway's limit on file size.")
}

// bodyError returns the surface's own error about a body unchanged, and takes any other error for a client that
// disconnected.
func bodyError(err error, after int64) error {
	var known *store.Error
	if errors.As(err, &known) {
		return err
	}
	return &store.Error{Kind: store.Canceled, Msg: fmt.Sprintf("the body was interrupted after %d bytes", after), Err: err, Hint: "Send the file again."}
}
