package httpedge

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Span is the byte range to send.
type Span struct {
	Off, Len int64
	Partial  bool // the response to a Range, a 206 even if it covers the whole file
}

// RangeOf returns the bytes of the file that the request's Range and If-Range ask for. OutOfRange.
func RangeOf(h http.Header, f store.File) (Span, error) {
	header := h.Get("Range")
	if header == "" || !rangeApplies(h, f) {
		return Span{Len: f.Size}, nil
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

// parseRange reads a Range header of RFC 9110, section 14.2. A header that is
// malformed, has another unit or lists several ranges is ignored, as that section
// permits. OutOfRange: the range begins after the end.
func parseRange(header string, size int64) (Span, error) {
	whole := Span{Len: size}
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
		return Span{}, outOfRange(header, size)
	}
	to = min(to, size-1)
	return Span{Off: from, Len: to - from + 1, Partial: true}, nil
}

// suffix returns the last n bytes. A Content-Range cannot express those of an empty file.
func suffix(header string, n, size int64) (Span, error) {
	switch {
	case n == 0:
		return Span{}, outOfRange(header, size)
	case size == 0:
		return Span{}, nil
	}
	n = min(n, size)
	return Span{Off: size - n, Len: n, Partial: true}, nil
}

func digits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// number reads digits; a number that overflows is the largest one.
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
