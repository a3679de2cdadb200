package restapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// verdict is what a request's preconditions come to.
type verdict int

const (
	met verdict = iota
	notModified
	failed
)

// evaluate follows RFC 9110, section 13.2.2, for GET and HEAD.
func evaluate(h http.Header, f store.File) verdict {
	if match := h.Values("If-Match"); len(match) > 0 {
		if !tagged(match, f, false) {
			return failed
		}
	} else if since, ok := date(h, "If-Unmodified-Since"); ok && modifiedAfter(f, since) {
		return failed
	}
	if match := h.Values("If-None-Match"); len(match) > 0 {
		if tagged(match, f, true) {
			return notModified
		}
	} else if since, ok := date(h, "If-Modified-Since"); ok && !modifiedAfter(f, since) {
		return notModified
	}
	return met
}

// tagged reports whether a list of entity tags names the file. Weak ones count
// only where a weak comparison is asked for. A malformed list ends where it breaks.
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

// cutTag splits a list behind its first quoted tag.
func cutTag(list string) (opaque, rest string, ok bool) {
	list, ok = strings.CutPrefix(list, `"`)
	if !ok {
		return "", "", false
	}
	return strings.Cut(list, `"`)
}

// date reads a header; anything that is no date counts as absent, as the RFC has it.
func date(h http.Header, name string) (time.Time, bool) {
	text := h.Get(name)
	if text == "" {
		return time.Time{}, false
	}
	t, err := http.ParseTime(text)
	return t, err == nil
}

// modifiedAfter compares in whole seconds: HTTP dates have no more.
func modifiedAfter(f store.File, t time.Time) bool {
	return f.CompletedAt.Truncate(time.Second).After(t)
}
