package httpedge

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/files/a b":         "/files/a b",
		"é – 漢字":             "é – 漢字",
		"\x1b]0;owned\x07\n": `\x1b]0;owned\a\n`,
		"a\u009b31m\u202eb":  `a\u009b31m\u202eb`,
		"\x7f\x00":           `\x7f\x00`,
		"\xff\xc3(":          `\xff\xc3(`,
		"\u200b\U000e0041":   `\u200b\U000e0041`,
		"\ufffd":             `\ufffd`,
	} {
		require.Equal(t, want, visible(text), "%q", text)
	}
}

func FuzzVisible(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[31m", "\u202e\u2066", "\xf0\x9f", "\ufffd\xef\xbf"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := visible(text)
		require.True(t, utf8.ValidString(got))
		require.False(t, strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", got)
		require.Equal(t, got, visible(got), "what is clean stays")
	})
}
