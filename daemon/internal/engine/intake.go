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
)

// Sums is what the engine reckoned over the bytes of a body.
type Sums struct {
	Size   int64
	CRC64  uint64 // CRC64NVME
	SHA256 []byte // 32 bytes; nil unless wanted
}

// intake reads a body into stripes and reckons its sums on the way.
type intake struct {
	body  io.Reader
	size  int64 // announced, or -1
	limit int64 // the most that is taken
	total int64 // taken so far
	crc   uint64
	sha   hash.Hash // nil unless wanted
	ended bool      // the body is through, and was as long as announced
}

func newIntake(body io.Reader, size, limit int64, wantSHA256 bool) *intake {
	in := &intake{body: body, size: size, limit: limit}
	if wantSHA256 {
		in.sha = sha256.New()
	}
	return in
}

// next waits for memory, then fills a stripe. The stripe holds no data when the
// body had ended on a stripe's border. The caller releases it. Errors: Canceled
// (memory did not come, or the client went away), TooLarge, Invalid (length).
func (in *intake) next(ctx context.Context, pool *erasure.Pool, l erasure.Layout) (*erasure.Stripe, error) {
	expect := 0
	if in.size >= 0 {
		expect = int(max(1, min(in.size-in.total, int64(l.StripeSize()))))
	}
	s, err := pool.Stripe(ctx, l, expect)
	if err != nil {
		return nil, err
	}
	if err := in.fill(s); err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

func (in *intake) fill(s *erasure.Stripe) error {
	err := s.Fill(in.body)
	in.take(s.Data())
	switch {
	case in.total > in.limit:
		return tooLarge(in.limit)
	case in.size >= 0 && in.total > in.size:
		return in.tooLong()
	}
	if err == nil && in.total == in.size {
		err = in.expectEnd()
	}
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return bodyError(err, in.total)
	case in.size >= 0 && in.total != in.size:
		return store.Errorf(store.Invalid, "the body ended after %d of %d bytes", in.total, in.size).
			WithHint("Send the file again.")
	}
	in.ended = true
	return nil
}

func (in *intake) take(data []byte) {
	in.total += int64(len(data))
	in.crc = crc64nvme.Update(in.crc, data)
	if in.sha != nil {
		in.sha.Write(data)
	}
}

// expectEnd reads past the announced size; only the end may be there.
func (in *intake) expectEnd() error {
	var one [1]byte
	for {
		n, err := in.body.Read(one[:])
		if n > 0 {
			return in.tooLong()
		}
		if err != nil {
			return err
		}
	}
}

func (in *intake) tooLong() error {
	return store.Errorf(store.Invalid, "the body is longer than the %d bytes announced", in.size).
		WithHint("Send the file again, with its true size.")
}

// sums gives the result; nothing may be read afterwards.
func (in *intake) sums() Sums {
	s := Sums{Size: in.total, CRC64: in.crc}
	if in.sha != nil {
		s.SHA256 = in.sha.Sum(nil)
	}
	return s
}

func tooLarge(limit int64) error {
	return store.Errorf(store.TooLarge, "the file is larger than the limit of %d bytes", limit).
		WithHint("Split the file, or raise the gateway's limit on file size.")
}

// bodyError keeps what the surface said about a body that it could not read on
// with, and takes anything else for a client that went away.
func bodyError(err error, after int64) error {
	var known *store.Error
	if errors.As(err, &known) {
		return err
	}
	return &store.Error{Kind: store.Canceled, Msg: fmt.Sprintf("the body broke off after %d bytes", after), Err: err, Hint: "Send the file again."}
}
