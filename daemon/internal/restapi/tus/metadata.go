package tus

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// tag is what an upload was created with and HEAD must repeat. It is kept among the
// metadata of the session, and so of the file that the session becomes: a client may
// ask for an upload when that is complete, too.
type tag struct {
	Metadata string `json:"metadata,omitempty"` // Upload-Metadata as it came
	Concat   string `json:"concat,omitempty"`   // Upload-Concat as it came: empty, partial, or final with its addresses
}

// tagName is where the tag is among the metadata. No client can send or see a name with a colon.
const tagName = "tus:upload"

const partial = "partial"

func (t tag) partial() bool { return t.Concat == partial }
func (t tag) final() bool   { return strings.HasPrefix(t.Concat, "final;") }

// meta gives the metadata that keeps the tag.
func (t tag) meta() map[string]string {
	if t == (tag{}) {
		return nil
	}
	text, _ := json.Marshal(t) // strings: it cannot fail
	return map[string]string{tagName: string(text)}
}

// tagOf reads what meta made. What another surface made has no tag; it is then empty.
func tagOf(meta map[string]string) (t tag) {
	_ = json.Unmarshal([]byte(meta[tagName]), &t)
	return t
}

// What Upload-Metadata may be: as much as metadata that comes in headers of its own,
// because it goes out in one header with each HEAD, and is kept as long as the file.
const (
	maxMetadata       = 2 << 10 // bytes of all keys and decoded values
	maxMetadataHeader = 4 << 10 // bytes of the header
)

// parseMetadata reads an Upload-Metadata header: pairs of a key and its value in
// base64, separated by commas; a value may be left out. Invalid, also when it is too large.
func parseMetadata(header string) (map[string]string, error) {
	pairs, total := map[string]string{}, 0
	if strings.TrimSpace(header) == "" {
		return pairs, nil
	}
	for pair := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		decoded, err := base64.StdEncoding.DecodeString(value)
		_, twice := pairs[key]
		if err != nil || key == "" || twice {
			return nil, bad("Upload-Metadata %.64q is not pairs of a key and its value in base64", header)
		}
		pairs[key] = string(decoded)
		total += len(key) + len(decoded)
	}
	if total > maxMetadata || len(header) > maxMetadataHeader {
		return nil, store.Errorf(store.Invalid, "Upload-Metadata has %d bytes in %d; keys and values together have at most %d, in a header of %d",
			total, len(header), maxMetadata, maxMetadataHeader).WithLimit("metadata_size", 0).WithHint("Keep larger things in a file of their own.")
	}
	return pairs, nil
}

// first gives the first of the keys that has a value.
func first(pairs map[string]string, keys ...string) string {
	for _, k := range keys {
		if v := pairs[k]; v != "" {
			return v
		}
	}
	return ""
}

// target says where an upload is to be seen, and as what. Without a name it has its
// id; a type that is none, which pages send where the browser knows none, is left out.
func (h *handler) target(pairs map[string]string) (bucket store.BucketName, key store.Key, contentType string) {
	bucket = store.BucketName(first(pairs, "bucket"))
	if bucket == "" {
		bucket = store.DefaultBucket
	}
	contentType = first(pairs, "filetype", "contentType", "type")
	if !h.ValidType(contentType) {
		contentType = "application/octet-stream"
	}
	return bucket, store.Key(first(pairs, "name", "filename")), contentType
}
