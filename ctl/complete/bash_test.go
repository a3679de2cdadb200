package complete

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// bash reads every offered completion back unchanged, wherever it is inserted, and evaluates nothing in it.
func TestBash_OffersAreReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		value := "s3://b/" + rapid.StringMatching(`[a-c $'"!\\;&|<>(){}*?\[~#^=:\x60é-]{0,12}`).Draw(rt, "key")
		opening := rapid.SampledFrom([]string{"", "'", `"`}).Draw(rt, "quote")
		upTo := rapid.IntRange(0, 7).Draw(rt, "written")
		line := "s3ctl cat 'an other' " + opening + value[:upTo]
		asked := []string(nil)
		answer := Bash(line, value[:upTo], "9", func(args []string) string {
			asked = args
			return value + "\tdescription\n:4\n"
		})
		require.Equal(rt, []string{"cat", "an other", value[:upTo]}, asked)
		orders, offer, _ := strings.Cut(strings.TrimSuffix(answer, "\n"), "\n")
		require.Equal(rt, "offers nofiles", orders)
		p := parseWords(strings.TrimSuffix(line, value[:upTo]) + offer)
		require.Equal(rt, []string{"s3ctl", "cat", "an other", value}, p.words, "%s", offer)
		require.False(rt, p.live, "%s", offer)
		require.Equal(rt, bare, p.quote)
	})
}

func TestBash(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ line, word, kind, reply, want string }{
		{"s3ctl ls s3://b/a", "//b/a", "9", "s3://b/a b\ns3://b/a c\n:6\n", "offers nospace nofiles\n//b/a\\ b\n//b/a\\ c\n"},
		{`s3ctl ls s3://b/a\ `, `//b/a\ `, "9", "s3://b/a b\t1 B\n:4\n", "offers nofiles\n" + `//b/a\ b` + "\n"},
		{"s3ctl ls s3://b/a", "//b/a", listing, "s3://b/a b\t1 B\ns3://b/a c\n:4\n", "offers nofiles\n//b/a\\ b  (1 B)\n//b/a\\ c\n"},
		{"s3ctl ls s3://b/a", "//b/a", "9", "s3://b/b\n:4\n", "offers nofiles\n"},
		{"s3ctl --progress=js", "js", "9", "json\nnone\n:4\n", "offers nofiles\njson\n"},
		{`s3ctl ls "s3://b/a`, "s3://b/a", "9", "s3://b/a/\n:6\n", "offers nospace nofiles\ns3://b/a/\n"},
		{`s3ctl ls "s3://b/`, "s3://b/", "9", "s3://b/it's $x!\n:4\n", "offers nofiles\n" + `s3://b/it's \$x"'!'""` + "\n"},
		{"s3ctl put ", "", "9", ":0\n", "offers\n"},
		{"s3ctl ls s3://b/$(", "", "9", "s3://b/$(touch X)\n:4\n", "files\n"},
		{"s3ctl ls s3://b/`tou", "//b/`tou", "9", "s3://b/`touch X`\n:4\n", "files\n"},
		{`s3ctl ls "s3://b/$(`, "s3://b/$(", "9", "s3://b/$(touch X)\n:4\n", "files\n"},
		{"s3ctl ls $'s3://b/", "s3://b/", "9", "s3://b/a\n:4\n", "files\n"},
		{"s3ctl cat s3://b/a > s", "s", "9", "s3://\n:6\n", "files\n"},
		{"s3ctl ls s3://b/a", "other", "9", "s3://b/a\n:6\n", "files\n"},
		{"s3ctl ls s3://b/a", "//b/a", "9", "nonsense\n", "offers nofiles\n"},
		{"s3c", "s3c", "9", "x\n:4\n", "files\n"},
	} {
		require.Equal(t, tc.want, Bash(tc.line, tc.word, tc.kind, func([]string) string { return tc.reply }), tc.line)
	}
}
