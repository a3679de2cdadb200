package tus

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // detects transmission errors, as the protocol defines it
	"crypto/sha1" //nolint:gosec // the protocol demands it
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/minio/crc64nvme"
)

// algorithms are the algorithms of Upload-Checksum.
var algorithms = map[string]func() hash.Hash{
	"sha1":      sha1.New,
	"sha256":    sha256.New,
	"md5":       md5.New,
	"crc64nvme": func() hash.Hash { return crc64nvme.New() },
}

func algorithmNames() string { return strings.Join(slices.Sorted(maps.Keys(algorithms)), ",") }

// expectedSum is the checksum that a client sends for the bytes of one PATCH.
type expectedSum struct {
	name string
	hash hash.Hash
	want []byte
}

// parseChecksum reads an Upload-Checksum header; an empty one is nil. Invalid.
func parseChecksum(header string) (*expectedSum, error) {
	if header == "" {
		return nil, nil //nolint:nilnil // none is not an error
	}
	name, text, _ := strings.Cut(header, " ")
	make, known := algorithms[name]
	want, err := base64.StdEncoding.DecodeString(text)
	if !known || err != nil {
		return nil, bad("Upload-Checksum %.80q is not one of %s and its value in base64", header, algorithmNames())
	}
	sum := &expectedSum{name, make(), want}
	if len(want) != sum.hash.Size() {
		return nil, bad("Upload-Checksum: %s has %d bytes, not %d", name, sum.hash.Size(), len(want))
	}
	return sum, nil
}

func (s *expectedSum) matches() bool { return bytes.Equal(s.hash.Sum(nil), s.want) }
