package httpedge

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// visible escapes characters that a terminal would act on or show wrongly: control characters,
// marks of text direction, and bytes that are not UTF-8. All text of a request that is
// logged passes through it, whatever the log's format escapes by itself.
func visible(text string) string {
	if !strings.ContainsFunc(text, hidden) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && text[i:min(i+3, len(text))] != string(utf8.RuneError):
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[i])|0x100, 16)[1:])
		case hidden(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// visibleError is an error whose text is escaped for a log.
type visibleError struct{ error }

func (e visibleError) Error() string { return visible(e.error.Error()) }
func (e visibleError) Unwrap() error { return e.error }

func hidden(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }
