package httpedge

import (
	"net/http"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Verdict is the result of evaluating a request's preconditions.
type Verdict int

// The verdicts.
const (
	Met         Verdict = iota
	NotModified         // 304
	Failed              // 412
)

// Evaluate follows RFC 9110, section 13.2.2, for GET and HEAD of a file.
func Evaluate(h http.Header, f store.File) Verdict {
	if match := h.Values("If-Match"); len(match) > 0 {
		if !tagged(match, f, false) {
			return Failed
		}
	} else if since, ok := date(h, "If-Unmodified-Since"); ok && modifiedAfter(f, since) {
		return Failed
	}
	if match := h.Values("If-None-Match"); len(match) > 0 {
		if tagged(match, f, true) {
			return NotModified
		}
	} else if since, ok := date(h, "If-Modified-Since"); ok && !modifiedAfter(f, since) {
		return NotModified
	}
	return Met
}

// tagged reports whether a list of entity tags names the file. Weak tags match
// only in a weak comparison. A malformed list is read up to its first error.
func tagged(lists []string, f store.File, weak bool) bool {
	for _, list := range lists {
		if strings.TrimSpace(list) == "*" {
			return true
		}
		for {
			list = strings.TrimLeft(list, " \t,")
			tag, isWeak := strings.CutPrefix(list, "W/")
			opaque, rest, ok := cutTag(tag)
			if !ok {
				break
			}
			if opaque == f.ETag && (weak || !isWeak) {
				return true
			}
			list = rest
		}
	}
	return false
}

// FirstTag returns the first entity tag of If-Match, without its quotes.
func FirstTag(h http.Header) (string, bool) {
	tag, _, ok := cutTag(h.Get("If-Match"))
	return tag, ok
}

// cutTag splits a list after its first quoted tag.
func cutTag(list string) (opaque, rest string, ok bool) {
	list, ok = strings.CutPrefix(list, `"`)
	if !ok {
		return "", "", false
	}
	return strings.Cut(list, `"`)
}

// date reads a header; a malformed date counts as absent, as the RFC requires.
func date(h http.Header, name string) (time.Time, bool) {
	text := h.Get(name)
	if text == "" {
		return time.Time{}, false
	}
	t, err := http.ParseTime(text)
	return t, err == nil
}

// modifiedAfter compares in whole seconds: HTTP dates have no finer resolution.
func modifiedAfter(f store.File, t time.Time) bool {
	return f.CompletedAt.Truncate(time.Second).After(t)
}
