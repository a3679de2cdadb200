package restapi

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// The headers and trailers that carry checksums, base64 of the big-endian bytes.
const (
	headerCRC64  = "X-Checksum-Crc64nvme"
	headerSHA256 = "X-Checksum-Sha256"
)

// expectation is what a client says about the bytes that it sends. Trailers say
// it after the last byte, so they are read in verify.
type expectation struct {
	request    *http.Request
	crc        []byte // 8 bytes, or nil
	sha        []byte // 32 bytes, or nil
	wantSHA256 bool
}

func expect(r *http.Request, p rest.UploadFileParams) (e expectation, err error) {
	e.request = r
	if p.XChecksumAlgorithm != "" && !p.XChecksumAlgorithm.Valid() {
		return e, store.Errorf(store.Invalid, "X-Checksum-Algorithm %.32q is not one of CRC64NVME, SHA256", string(p.XChecksumAlgorithm)).
			WithHint("Leave it out, or send SHA256.")
	}
	if e.crc, err = decodeSum(headerCRC64, p.XChecksumCrc64Nvme, 8); err != nil {
		return e, err
	}
	if e.sha, err = decodeSum(headerSHA256, p.XChecksumSha256, 32); err != nil {
		return e, err
	}
	_, announced := r.Trailer[headerSHA256]
	e.wantSHA256 = e.sha != nil || announced || p.XChecksumAlgorithm == rest.ChecksumSHA256
	return e, nil
}

func decodeSum(name, text string, size int) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != size {
		return nil, store.Errorf(store.Invalid, "%s is not base64 of %d bytes", name, size).
			WithHint("Send the big-endian bytes of the checksum in standard base64, as S3 does.")
	}
	return sum, nil
}

// verify compares, after the last byte and before anything is visible. Invalid, Corrupt.
func (e expectation) verify(s engine.Sums) error {
	crc := binary.BigEndian.AppendUint64(nil, s.CRC64)
	if err := compare(headerCRC64, e.crc, crc); err != nil {
		return err
	}
	if err := compare(headerSHA256, e.sha, s.SHA256); err != nil {
		return err
	}
	for name, got := range map[string][]byte{headerCRC64: crc, headerSHA256: s.SHA256} {
		want, err := decodeSum("trailer "+name, e.request.Trailer.Get(name), len(got))
		if err != nil {
			return err
		}
		if err := compare("trailer "+name, want, got); err != nil {
			return err
		}
	}
	return nil
}

func compare(name string, want, got []byte) error {
	if want == nil || bytes.Equal(want, got) {
		return nil
	}
	err := store.Errorf(store.Corrupt, "%s is %s, but the bytes that arrived have %s", name,
		base64.StdEncoding.EncodeToString(want), base64.StdEncoding.EncodeToString(got)).
		WithHint("Nothing was stored. Send the file again; if it fails again, reckon the checksum anew.")
	return withStatus(http.StatusBadRequest, err) // here the client's bytes are wrong, not ours
}
