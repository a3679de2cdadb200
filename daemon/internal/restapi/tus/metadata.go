package tus

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// tag holds the creation headers that HEAD must repeat. It is stored in the metadata of
// the session, and so of the file that the session becomes: a client may also send HEAD
// for a complete upload.
type tag struct {
	Metadata string `json:"metadata,omitempty"` // Upload-Metadata as it came
	Concat   string `json:"concat,omitempty"`   // Upload-Concat as it came: empty, partial, or final with its addresses
}

// tagName is the metadata name of the tag. No client can send or see a name with a colon.
const tagName = "tus:upload"

const partial = "partial"

func (t tag) partial() bool { return t.Concat == partial }
func (t tag) final() bool   { return strings.HasPrefix(t.Concat, "final;") }

// meta returns the metadata that stores the tag.
func (t tag) meta() map[string]string {
	if t == (tag{}) {
		return nil
	}
	text, _ := json.Marshal(t) // strings: it cannot fail
	return map[string]string{tagName: string(text)}
}

// tagOf reads the tag that meta stored; it is empty for files of other surfaces.
func tagOf(meta map[string]string) (t tag) {
	_ = json.Unmarshal([]byte(meta[tagName]), &t)
	return t
}

// Limits of Upload-Metadata, as large as metadata in headers of its own,
// because it is sent in one header with each HEAD and stored as long as the file.
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

// first returns the value of the first key that has one.
func first(pairs map[string]string, keys ...string) string {
	for _, k := range keys {
		if v := pairs[k]; v != "" {
			return v
		}
	}
	return ""
}

// target returns the bucket, key and content type of an upload. The key is empty without
// a name. A type that is not valid, as pages send where the browser knows none, becomes
// application/octet-stream.
func (h *handler) target(pairs map[string]string) (bucket store.BucketName, key store.Key, contentType string) {
	bucket = store.BucketName(first(pairs, "bucket"))
	if bucket == "" {
		bucket = store.DefaultBucket
	}
	contentType = first(pairs, "filetype", "contentType", "type")
	if !httpedge.ValidContentType(contentType) {
		contentType = "application/octet-stream"
	}
	return bucket, store.Key(first(pairs, "name", "filename")), contentType
}
