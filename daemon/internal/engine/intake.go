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

// Sums is what the engine computed over the bytes of a body.
type Sums struct {
	Size   int64
	CRC64  uint64 // CRC64NVME
	SHA256 []byte // 32 bytes; nil unless wanted
}

// intake reads a body into stripes and computes its sums in passing.
type intake struct {
	body      io.Reader
	size      int64 // announced, or -1
	most      int64 // bytes that the surface will deliver at most; size where that is known, -1 where nothing is
	limit     int64 // the most that is taken
	caller    string
	interrupt func(error)
	mem       *writemem.Upload // set by open
	total     int64            // taken so far
	crc       uint64
	sha       hash.Hash // nil unless wanted
	ended     bool      // the body is through, and was as long as announced

	ahead  []byte    // read, but in no stripe yet
	failed error     // what the read returned that gave the last byte of ahead
	eager  bool      // the last read filled its buffer: more has probably arrived
	first  [512]byte // what ahead is in; the connection's own buffer holds what follows
}

func newIntake(body io.Reader, size, limit int64, wantSHA256 bool) *intake {
	in := &intake{body: body, size: size, most: size, limit: limit}
	if wantSHA256 {
		in.sha = sha256.New()
	}
	return in
}

// atMost says that the surface delivers no more than n bytes; 0: it cannot say.
func (in *intake) atMost(n int64) {
	if in.size < 0 && n > 0 {
		in.most = n
	}
}

// open begins the upload's account of write memory; the caller closes in.mem.
func (in *intake) open(pool *writemem.Pool) {
	in.mem = pool.Open(writemem.Client{Caller: in.caller, Most: in.most, Interrupt: in.interrupt})
}

// next fills a stripe. Memory is taken as bytes arrive: an upload that has sent
// nothing holds nothing. The stripe holds no data when the body had ended on a stripe's border. The
// caller releases it. Errors: Unavailable (memory did not come), Canceled (the client went
// away or was too slow), TooLarge, Invalid (length).
func (in *intake) next(ctx context.Context, l erasure.Layout) (*erasure.Stripe, error) {
	expect := 0
	if in.size >= 0 || l.K == 1 && in.most >= 0 { // data units are cut by the true size alone
		expect = int(max(1, min(in.most-in.total, int64(l.StripeSize()))))
	}
	s, err := erasure.NewStripe(in.mem, l, expect, in.total == 0)
	if err != nil {
		return nil, err
	}
	if err := in.fill(ctx, s); err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

func (in *intake) fill(ctx context.Context, s *erasure.Stripe) error {
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

// end says what it means that a read returned err.
func (in *intake) end(err error) error {
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

// arrival waits for a byte, without memory to put it in.
func (in *intake) arrival() error {
	for !in.eager && len(in.ahead) == 0 {
		n, err := in.read(in.first[:])
		in.ahead, in.failed, in.eager = in.first[:n], err, false
		if n == 0 && err != nil {
			return err
		}
	}
	return nil
}

// read gives what was read ahead, then the body.
func (in *intake) read(p []byte) (int, error) {
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

func (in *intake) take(data []byte) {
	in.total += int64(len(data))
	in.crc = crc64nvme.Update(in.crc, data)
	if in.sha != nil {
		in.sha.Write(data)
	}
}

// expectEnd reads past the most that there can be; only the end may be there.
func (in *intake) expectEnd() error {
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

func (in *intake) tooLong() error {
	return store.Errorf(store.Invalid, "the body is longer than the %d bytes announced", in.most).
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
		WithLimit("file_size", 0).WithHint("Split the file, or raise the gateway's limit on file size.")
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
