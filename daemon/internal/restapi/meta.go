package restapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The client's own metadata of a file is sent in headers with this prefix. Their case has
// no meaning: names are lower case everywhere else.
const metaPrefix = "X-Meta-"

// Limits of metadata: enough for what tools store with a file, and small enough
// for the headers of a download to pass every proxy.
const (
	maxMeta     = 2 << 10 // bytes of all names and values
	maxMetaName = 64      // bytes
)

// metaOf reads the metadata in a request's headers, or nil. Invalid.
func metaOf(h http.Header) (map[string]string, error) {
	var meta map[string]string
	for name, values := range h {
		name, ok := strings.CutPrefix(name, metaPrefix)
		if !ok {
			continue
		}
		if len(values) != 1 {
			return nil, store.Errorf(store.Invalid, "%s%s is present %d times", metaPrefix, name, len(values)).WithHint("Send each header once.")
		}
		if meta == nil {
			meta = map[string]string{}
		}
		meta[strings.ToLower(name)] = values[0]
	}
	return meta, checkMeta(meta)
}

// checkMeta refuses metadata that the headers of a download could not return unchanged. Invalid.
func checkMeta(meta map[string]string) error {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		if !validMetaName(name) {
			return store.Errorf(store.Invalid, "%.80q is not a valid metadata name", name).
				WithHint("Names have 1 to %d lower-case letters, digits, hyphens and underscores.", maxMetaName)
		}
		if !validMetaValue(meta[name]) {
			return store.Errorf(store.Invalid, "the value of the metadata %s is not printable ASCII", name).
				WithHint("Percent-encode the value, or write it in base64; it neither begins nor ends with a space.")
		}
		total += len(name) + len(meta[name])
	}
	if total > maxMeta {
		return store.Errorf(store.Invalid, "the metadata has %d bytes; all names and values together have at most %d", total, maxMeta).WithLimit("metadata_size", 0).
			WithHint("Keep larger things in a file of their own.")
	}
	return nil
}

func validMetaName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= maxMetaName
}

func validMetaValue(value string) bool {
	return httpedge.Printable(value) && strings.Trim(value, " ") == value // HTTP trims spaces around a value
}

// shownMeta leaves out the metadata that a surface stores for itself: names
// with a colon, which no client can send.
func shownMeta(meta map[string]string) map[string]string {
	var shown map[string]string
	for name, value := range meta {
		if strings.Contains(name, ":") {
			continue
		}
		if shown == nil {
			shown = make(map[string]string, len(meta))
		}
		shown[name] = value
	}
	return shown
}

// setMeta sets the headers of the metadata, unchanged.
func setMeta(h http.Header, meta map[string]string) {
	for name, value := range shownMeta(meta) {
		h.Set(metaPrefix+name, value)
	}
}

// dropMeta removes what setMeta set.
func dropMeta(h http.Header) {
	maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, metaPrefix) })
}
