package restapi

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

// The headers and trailers that carry checksums, base64 of the big-endian bytes.
const (
	headerCRC64  = "X-Checksum-Crc64nvme"
	headerSHA256 = "X-Checksum-Sha256"
)

// expectation holds the checksums that a client sends with its bytes. Trailers arrive
// after the last byte, so they are read in verify.
type expectation struct {
	request    *http.Request
	what       string // the bytes are a "file" or a "part"
	crc        *uint64
	sha        []byte // 32 bytes, or nil
	wantSHA256 bool
}

// expectFile reads the checksum headers of an upload. Invalid.
func expectFile(r *http.Request, p rest.UploadFileParams) (e expectation, err error) {
	e = expectation{request: r, what: "file"}
	if p.XChecksumAlgorithm != "" && !p.XChecksumAlgorithm.Valid() {
		return e, store.Errorf(store.Invalid, "X-Checksum-Algorithm %.32q is not one of CRC64NVME, SHA256", string(p.XChecksumAlgorithm)).
			WithHint("Leave it out, or send SHA256.")
	}
	if e.crc, err = decodeCRC(headerCRC64, p.XChecksumCrc64Nvme); err != nil {
		return e, err
	}
	if e.sha, err = decodeSHA(headerSHA256, p.XChecksumSha256); err != nil {
		return e, err
	}
	_, announced := r.Trailer[headerSHA256]
	e.wantSHA256 = e.sha != nil || announced || p.XChecksumAlgorithm == rest.ChecksumSHA256
	return e, nil
}

// expectPart reads the checksum headers of a part. Parts have no SHA-256, because that
// of the file cannot be computed from theirs. Invalid.
func expectPart(r *http.Request, p rest.PutPartParams) (e expectation, err error) {
	e = expectation{request: r, what: "part"}
	_, announced := r.Trailer[headerSHA256]
	if announced || r.Header.Get(headerSHA256) != "" {
		return e, store.Errorf(store.Invalid, "%s of a part is not compared", headerSHA256).WithHint("Send %s, or none.", headerCRC64)
	}
	e.crc, err = decodeCRC(headerCRC64, p.XChecksumCrc64Nvme)
	return e, err
}

// decodeCRC reads a CRC64NVME; name is the header or member for the error. Empty text is nil. Invalid.
func decodeCRC(name, text string) (*uint64, error) {
	if text == "" {
		return nil, nil
	}
	crc, err := checksum.Decode(text)
	if err != nil {
		return nil, notASum(name, 8)
	}
	return &crc, nil
}

// decodeSHA is decodeCRC for a SHA-256.
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

// verify compares the checksums. It is called after the last byte and before the file becomes visible. Invalid, Corrupt.
func (e expectation) verify(s engine.Sums) error {
	if err := e.compare("", e.crc, e.sha, s); err != nil {
		return err
	}
	const late = "trailer "
	crc, err := decodeCRC(late+headerCRC64, e.request.Trailer.Get(headerCRC64))
	if err != nil {
		return err
	}
	sha, err := decodeSHA(late+headerSHA256, e.request.Trailer.Get(headerSHA256))
	if err != nil {
		return err
	}
	if sha != nil && s.SHA256 == nil {
		return store.Errorf(store.Invalid, "the trailer %s was not announced, so it cannot be compared", headerSHA256).
			WithHint("Name it in the Trailer header of an upload; of a part send %s.", headerCRC64)
	}
	return e.compare(late, crc, sha, s)
}

func (e expectation) compare(place string, crc *uint64, sha []byte, got engine.Sums) error {
	if crc != nil && *crc != got.CRC64 {
		return e.differs(place+headerCRC64, checksum.Encode(*crc), checksum.Encode(got.CRC64))
	}
	if sha != nil && string(sha) != string(got.SHA256) {
		return e.differs(place+headerSHA256, base64.StdEncoding.EncodeToString(sha), base64.StdEncoding.EncodeToString(got.SHA256))
	}
	return nil
}

func (e expectation) differs(name, want, got string) error {
	err := store.Errorf(store.Corrupt, "%s is %s, but the bytes that arrived have %s", name, want, got).
		WithHint("Nothing was stored. Send the %s again; if it fails again, compute the checksum again.", e.what)
	return withStatus(http.StatusBadRequest, err) // here the client's bytes are wrong, not ours
}
