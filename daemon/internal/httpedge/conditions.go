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

// ConditionOf returns the condition that If-Match and If-None-Match set for the object that a
// request changes; the zero Condition without them. A change must not happen where its
// condition was not evaluated, so a list that cannot be read is refused, and so is
// If-Unmodified-Since, whose dates are too coarse to decide a race. Invalid.
func ConditionOf(h http.Header) (c store.Condition, err error) {
	if h.Get("If-Unmodified-Since") != "" {
		return c, store.Errorf(store.Invalid, "If-Unmodified-Since is not evaluated for changes").
			WithHint("Nothing was changed. Send If-Match with the ETag of the object.")
	}
	if c.Exists, c.ETags, err = tagsOf(h, "If-Match", false); err != nil {
		return c, err
	}
	c.Absent, c.NoETags, err = tagsOf(h, "If-None-Match", true)
	return c, err
}

// tagsOf reads a list of entity tags, or "*". Weak tags are left out unless weak is set; a header
// with nothing else is a list that matches no object, and not nil. Invalid.
func tagsOf(h http.Header, name string, weak bool) (anything bool, tags []string, err error) {
	for _, list := range h.Values(name) {
		if strings.TrimSpace(list) == "*" {
			anything = true
			continue
		}
		if tags == nil {
			tags = []string{}
		}
		for list = strings.Trim(list, " \t,"); list != ""; list = strings.TrimLeft(list, " \t,") {
			tag, isWeak := strings.CutPrefix(list, "W/")
			opaque, rest, ok := cutTag(tag)
			if !ok {
				return false, nil, store.Errorf(store.Invalid, "%s %.80q is neither * nor a list of entity tags in quotes", name, list).
					WithHint("Nothing was changed. Send the ETag header of the object as it is, with its quotes.")
			}
			if weak || !isWeak {
				tags = append(tags, opaque)
			}
			list = rest
		}
	}
	return anything, tags, nil
}
