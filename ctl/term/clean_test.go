package term

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// unseen are characters of each kind that must not reach a terminal: control characters, characters that change the text
// direction, and invisible ones.
const unseen = "\x00\x07\x1b\x7f\u0085\u009b\u061c\u200b\u200e\u202e\u2028\u2029\u2066\u2060\ufeff\u00ad\u180e\u3164\U000e0041"

func TestClean_ShowsNothingThatIsNotSeen(t *testing.T) {
	t.Parallel()
	for _, r := range unseen {
		require.NotContains(t, Clean("a"+string(r)+"b"), string(r), "%U", r)
	}
	for _, name := range []string{"العربية", "नमस्\u200dते", "می\u200cخواهم", "👩\u200d💻", "\u0600١", "עברית", "日本\U000e0100", "e\u0301"} {
		require.Equal(t, name, Clean(name), "a name of its script stays as it is")
	}
}

func TestCleanJSON_ReadersGetTheSameText(t *testing.T) {
	t.Parallel()
	line, err := json.Marshal(map[string]string{"key": unseen + "ä \\ \" 日本"})
	require.NoError(t, err)
	got := CleanJSON(append(line, '\n'))
	for _, r := range unseen {
		require.NotContains(t, string(got), string(r), "%U", r)
	}
	require.Contains(t, string(got), "ä")
	require.Contains(t, string(got), `\udb40\udc41`, "what is beyond 16 bits are two escapes")
	require.Equal(t, 1, strings.Count(string(got), "\n"))
	require.JSONEq(t, string(line), string(got))
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"plain", unseen, "\xff\xc3", "a\nb\tc\r", `\u001b`, "日本"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := Clean(name)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, hidden) {
			t.Fatalf("%q is not safe to show", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q has %U in it", got, r)
			}
		}
		if Clean(got) != got {
			t.Fatalf("%q becomes %q when it is cleaned again", got, Clean(got))
		}
		line, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		clean := CleanJSON(line)
		var want, read string
		if strings.ContainsFunc(string(clean), hidden) {
			t.Fatalf("%q is not safe to show", clean)
		}
		if json.Unmarshal(line, &want) != nil || json.Unmarshal(clean, &read) != nil || want != read {
			t.Fatalf("%q was %q", clean, line)
		}
	})
}
