package restapi

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// span is the run of bytes to send.
type span struct {
	off, n  int64
	partial bool // it is an answer to a Range, and so a 206 even where it covers all
}

// rangeOf says which bytes the request is for. OutOfRange.
func rangeOf(h http.Header, f store.File) (span, error) {
	header := h.Get("Range")
	if header == "" || !rangeApplies(h, f) {
		return span{n: f.Size}, nil
	}
	return parseRange(header, f.Size)
}

// rangeApplies evaluates If-Range: a strong tag or an exact date of this very file.
func rangeApplies(h http.Header, f store.File) bool {
	text := h.Get("If-Range")
	if text == "" {
		return true
	}
	if strings.HasPrefix(text, `"`) {
		return text == `"`+f.ETag+`"`
	}
	t, ok := date(h, "If-Range")
	return ok && t.Equal(f.CompletedAt.Truncate(time.Second))
}

// parseRange reads a Range header of RFC 9110, section 14.2. What is malformed, of
// another unit or more than one range asks, by that section, for the whole.
// OutOfRange: the range begins behind the end.
func parseRange(header string, size int64) (span, error) {
	whole := span{n: size}
	unit, spec, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return whole, nil
	}
	first, last, ok := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok || !digits(first) || !digits(last) || first == "" && last == "" {
		return whole, nil
	}
	if first == "" {
		return suffix(header, number(last), size)
	}
	from, to := number(first), int64(math.MaxInt64)
	if last != "" {
		to = number(last)
	}
	if to < from {
		return whole, nil
	}
	if from >= size {
		return span{}, outOfRange(header, size)
	}
	to = min(to, size-1)
	return span{off: from, n: to - from + 1, partial: true}, nil
}

// suffix is the last n bytes. Those of an empty file cannot be said with a Content-Range.
func suffix(header string, n, size int64) (span, error) {
	switch {
	case n == 0:
		return span{}, outOfRange(header, size)
	case size == 0:
		return span{}, nil
	}
	n = min(n, size)
	return span{off: size - n, n: n, partial: true}, nil
}

func digits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// number reads digits; what is too large for any file is the largest number.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return n
}

func outOfRange(header string, size int64) error {
	return store.Errorf(store.OutOfRange, "%.64s lies outside of a file of %d bytes", header, size)
}
