package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleaned escapes characters that could control a terminal or forge a line, such as
// \x1b and \u202e: keys, file names and paths are text that clients choose. Line ends and
// tabs of values are kept, because the handler quotes them.
type cleaned struct{ slog.Handler }

// Handle implements slog.Handler.
func (h cleaned) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, cleanText(r.Message, false), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(cleanAttr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (h cleaned) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = cleanAttr(a)
	}
	return cleaned{h.Handler.WithAttrs(clean)}
}

// WithGroup implements slog.Handler.
func (h cleaned) WithGroup(name string) slog.Handler {
	return cleaned{h.Handler.WithGroup(cleanText(name, false))}
}

func cleanAttr(a slog.Attr) slog.Attr {
	a.Key = cleanText(a.Key, false)
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(cleanText(v.String(), true))
	case slog.KindGroup:
		group := make([]slog.Attr, len(v.Group()))
		for i, member := range v.Group() {
			group[i] = cleanAttr(member)
		}
		a.Value = slog.GroupValue(group...)
	case slog.KindAny:
		a.Value = cleanAny(v.Any())
	default: // numbers and times hold no text
		a.Value = v
	}
	return a
}

// cleanAny returns the cleaned text of a value, since its fields cannot be changed.
func cleanAny(v any) slog.Value {
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case error:
		return slog.StringValue(cleanText(v.Error(), true))
	default:
		return slog.StringValue(cleanText(fmt.Sprintf("%+v", v), true))
	}
}

// cleanText escapes what must not reach a terminal. lines keeps line ends and tabs.
func cleanText(s string, lines bool) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case lines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case r < utf8.RuneSelf && unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// hidden reports whether r controls a terminal, changes the direction of text, ends a
// line, or is invisible.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp, unicode.Cf)
}

// isPlain is true for printable ASCII, which most text is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
