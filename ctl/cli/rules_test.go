package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
)

// read parses the rules of a command line.
func read(t require.TestingT, args ...string) (address.Rules, error) {
	var rules address.Rules
	cmd := &cobra.Command{}
	cli.RulesFlags(cmd, &rules)
	err := cmd.ParseFlags(args)
	if err == nil {
		require.Empty(t, cmd.Flags().Args())
	}
	return rules, err
}

func TestFilter_Takes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args           string
		taken, skipped string
	}{
		{"", "a b/c", ""},
		{"--exclude *.tmp", "a a.tmp.gz", "a.tmp b/c.tmp old.tmp/x"},
		{"--include *.jpg", "a.jpg b/c.jpg", "a.png jpg"},
		{"--exclude * --include *.jpg", "a.jpg b/c.jpg", "a.png b/c.png"},
		{"--include *.jpg --exclude private", "a.jpg b/c.jpg", "private/a.jpg b/private/c.jpg b.png"},
		{"--exclude node_modules", "a node_modules2/a", "node_modules/a b/node_modules/c/d node_modules"},
		{"--exclude build/", "a", "build/a b/build/c"},
		{"--exclude /build", "b/build/c", "build/a build"},
		{"--exclude logs/*.gz", "a/logs/b.gz logs/a/b.gz", "logs/b.gz"},
		{"--exclude **/logs/*.gz", "logs/a/b.gz logs/b.gz", "a/logs/b.gz a/b/logs/c.gz"},
		{"--exclude *.gz --include keep/**", "keep/a.gz keep/b/c.gz a", "a.gz"},
		{`--exclude \*`, "a b/c", "* b/*"},
		{"--exclude ?**?", "a a/a", "ab a/ab ab/c"},
	} {
		rules, err := read(t, strings.Fields(tc.args)...)
		require.NoError(t, err)
		f, err := rules.Compile()
		require.NoError(t, err)
		for name := range strings.FieldsSeq(tc.taken) {
			require.True(t, f.Takes(name), "%s: %s", tc.args, name)
		}
		for name := range strings.FieldsSeq(tc.skipped) {
			require.False(t, f.Takes(name), "%s: %s", tc.args, name)
		}
	}
}

func TestRules_KeepTheOrderOfTheCommandLine(t *testing.T) {
	t.Parallel()
	rules, err := read(t, "--exclude=a", "--include", "b", "--exclude", "c")
	require.NoError(t, err)
	require.Equal(t, address.Rules{{Pattern: "a"}, {Pattern: "b", Include: true}, {Pattern: "c"}}, rules)

	_, err = read(t, "--include", "[open")
	require.ErrorContains(t, err, `has a "[" without "]"`)
	_, err = address.Rules{{Pattern: `x\`}}.Compile()
	require.Equal(t, fault.Invalid, fault.ExitOf(err))
}

// The oracle translates each rule to one regular expression over the whole name.
func TestFilter_AgreesWithRegularExpressions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		pattern := rapid.StringMatching(`/?([ab?]|\*|\*\*|/[ab*?]){1,4}/?`)
		rules := make(address.Rules, rapid.IntRange(0, 4).Draw(rt, "rules"))
		for i := range rules {
			rules[i] = address.Rule{Pattern: pattern.Draw(rt, "pattern"), Include: rapid.Bool().Draw(rt, "include")}
		}
		f, err := rules.Compile()
		require.NoError(rt, err)
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[ab]([ab]|/[ab]){0,6}`), 1, 20).Draw(rt, "names") {
			require.Equal(rt, oracle(rules, name), f.Takes(name), "%v %q", rules, name)
		}
	})
}

func oracle(rules address.Rules, name string) bool {
	taken := len(rules) == 0 || !rules[0].Include
	for _, r := range rules {
		if expression(r.Pattern).MatchString(name) {
			taken = r.Include
		}
	}
	return taken
}

func expression(pattern string) *regexp.Regexp {
	pattern = strings.TrimSuffix(pattern, "/")
	// Without a "/" the pattern matches a single path element, so ** cannot extend beyond it.
	before, deep := "(.*/)?", "[^/]*"
	if strings.Contains(pattern, "/") {
		before, deep, pattern = "", ".*", strings.TrimPrefix(pattern, "/")
	}
	text := strings.NewReplacer("**", deep, "*", "[^/]*", "?", "[^/]").Replace(pattern)
	return regexp.MustCompile("^" + before + text + "(/.*)?$")
}
