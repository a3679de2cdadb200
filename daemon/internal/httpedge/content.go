package httpedge

import (
	"mime"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// maxContentType bounds a content type in bytes: it is sent in a header of each download.
const maxContentType = 1 << 10

// CheckContentType refuses a type that the header of a download cannot carry; what names
// its source for the error. Multipart types are valid like any other. Invalid.
func CheckContentType(what, text string) error {
	if len(text) > maxContentType {
		return store.Errorf(store.Invalid, "the %s has %d bytes, at most %d are possible", what, len(text), maxContentType).
			WithLimit("content_type_size", 0).WithHint("Leave it out, or send a media type.")
	}
	if !ValidContentType(text) {
		return store.Errorf(store.Invalid, "the %s %.64q is not valid", what, text).WithHint("Leave it out, or send a media type in printable ASCII.")
	}
	return nil
}

// ValidContentType reports whether the header of a download can carry the type.
func ValidContentType(text string) bool {
	mediaType, _, err := mime.ParseMediaType(text)
	return err == nil && strings.Contains(mediaType, "/") && Printable(text) && len(text) <= maxContentType
}

// Printable reports whether a text is ASCII without control characters, and so can be a header's value.
func Printable(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
