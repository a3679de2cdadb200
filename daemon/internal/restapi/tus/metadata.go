package tus

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// tag is what a session's Tag remembers of an upload.
type tag struct {
	Metadata string `json:"metadata,omitempty"` // the header as it came
	Partial  bool   `json:"partial,omitempty"`
}

func (t tag) encode() string {
	text, _ := json.Marshal(t) // strings and flags: it cannot fail
	return string(text)
}

// readTag reads what encode wrote. A session of another surface has no such tag; it is then empty.
func readTag(text string) (t tag) {
	_ = json.Unmarshal([]byte(text), &t)
	return t
}

// parseMetadata reads an Upload-Metadata header: pairs of a key and its value in
// base64, separated by commas; a value may be left out. Invalid.
func parseMetadata(header string) (map[string]string, error) {
	pairs := map[string]string{}
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

// target says where an upload is to be seen, and as what. Without a name it has its id.
func target(pairs map[string]string) (bucket store.BucketName, key store.Key, contentType string) {
	bucket = store.BucketName(first(pairs, "bucket"))
	if bucket == "" {
		bucket = store.DefaultBucket
	}
	contentType = first(pairs, "filetype", "contentType", "type")
	if contentType == "" || strings.ContainsFunc(contentType, func(r rune) bool { return r < ' ' || r > '~' }) {
		contentType = "application/octet-stream"
	}
	return bucket, store.Key(first(pairs, "name", "filename")), contentType
}
