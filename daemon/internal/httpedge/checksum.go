package httpedge

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

// The headers and trailers that carry checksums, base64 of the big-endian bytes.
const (
	HeaderCRC64  = "X-Checksum-Crc64nvme"
	HeaderSHA256 = "X-Checksum-Sha256"
)

// Expectation holds the checksums that a client sends with its bytes. Trailers arrive
// after the last byte, so they are read in Verify.
type Expectation struct {
	WantSHA256 bool // a SHA-256 is needed, for Verify or to be stored

	request echo.Context
	what    string // the bytes are a "file" or a "part"
	crc     *uint64
	sha     []byte // 32 bytes, or nil
}

// ExpectFile reads the checksum headers of an upload. Invalid.
func ExpectFile(c echo.Context) (e Expectation, err error) {
	h := c.Request().Header
	e = Expectation{request: c, what: "file"}
	algorithm := rest.ChecksumAlgorithm(h.Get("X-Checksum-Algorithm"))
	if algorithm != "" && !algorithm.Valid() {
		return e, store.Errorf(store.Invalid, "X-Checksum-Algorithm %.32q is not one of CRC64NVME, SHA256", string(algorithm)).
			WithHint("Leave it out, or send SHA256.")
	}
	if e.crc, err = DecodeCRC(HeaderCRC64, h.Get(HeaderCRC64)); err != nil {
		return e, err
	}
	if e.sha, err = decodeSHA(HeaderSHA256, h.Get(HeaderSHA256)); err != nil {
		return e, err
	}
	_, announced := Trailer(c)[HeaderSHA256]
	e.WantSHA256 = e.sha != nil || announced || algorithm == rest.ChecksumSHA256
	return e, nil
}

// ExpectPart reads the checksum headers of a part. Parts have no SHA-256, because that
// of the file cannot be computed from theirs. Invalid.
func ExpectPart(c echo.Context) (e Expectation, err error) {
	h := c.Request().Header
	e = Expectation{request: c, what: "part"}
	_, announced := Trailer(c)[HeaderSHA256]
	if announced || h.Get(HeaderSHA256) != "" {
		return e, store.Errorf(store.Invalid, "%s of a part is not compared", HeaderSHA256).WithHint("Send %s, or none.", HeaderCRC64)
	}
	e.crc, err = DecodeCRC(HeaderCRC64, h.Get(HeaderCRC64))
	return e, err
}

// DecodeCRC reads a CRC64NVME; name is the header or member for the error. Empty text is nil. Invalid.
func DecodeCRC(name, text string) (*uint64, error) {
	if text == "" {
		return nil, nil
	}
	crc, err := checksum.Decode(text)
	if err != nil {
		return nil, notASum(name, 8)
	}
	return &crc, nil
}

// decodeSHA is DecodeCRC for a SHA-256.
func decodeSHA(name, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != sha256.Size {
		return nil, notASum(name, sha256.Size)
	}
	return sum, nil
}

func notASum(name string, size int) error {
	return store.Errorf(store.Invalid, "%s is not base64 of %d bytes", name, size).
		WithHint("Send the big-endian bytes of the checksum in standard base64, as S3 does.")
}

// Verify compares the checksums with those of the bytes that arrived; gotSHA is nil if it was
// not wanted. It is called after the last byte and before the file becomes visible. Invalid, Corrupt.
func (e Expectation) Verify(gotCRC uint64, gotSHA []byte) error {
	got := sums{gotCRC, gotSHA}
	if err := e.compare("", e.crc, e.sha, got); err != nil {
		return err
	}
	const late = "trailer "
	trailer := Trailer(e.request)
	crc, err := DecodeCRC(late+HeaderCRC64, trailer.Get(HeaderCRC64))
	if err != nil {
		return err
	}
	sha, err := decodeSHA(late+HeaderSHA256, trailer.Get(HeaderSHA256))
	if err != nil {
		return err
	}
	if sha != nil && gotSHA == nil {
		return store.Errorf(store.Invalid, "the trailer %s was not announced, so it cannot be compared", HeaderSHA256).
			WithHint("Name it in the Trailer header of an upload; of a part send %s.", HeaderCRC64)
	}
	return e.compare(late, crc, sha, got)
}

type sums struct {
	crc uint64
	sha []byte
}

func (e Expectation) compare(place string, crc *uint64, sha []byte, got sums) error {
	if crc != nil && *crc != got.crc {
		return e.differs(place+HeaderCRC64, checksum.Encode(*crc), checksum.Encode(got.crc))
	}
	if sha != nil && string(sha) != string(got.sha) {
		return e.differs(place+HeaderSHA256, base64.StdEncoding.EncodeToString(sha), base64.StdEncoding.EncodeToString(got.sha))
	}
	return nil
}

func (e Expectation) differs(name, want, got string) error {
	err := store.Errorf(store.Corrupt, "%s is %s, but the bytes that arrived have %s", name, want, got).
		WithHint("Nothing was stored. Send the %s again; if it fails again, compute the checksum again.", e.what)
	return WithStatus(http.StatusBadRequest, err) // here the client's bytes are wrong, not ours
}
