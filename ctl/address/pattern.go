package address

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Pattern matches keys:
//
//   - any characters except "/", or none
//     **     any characters, including "/", or none
//     ?      one character except "/"
//     [abc]  one of these; [a-z] a range; [!a] or [^a] any other one, but never "/"
//     \x     x itself
//
// It is a regular expression of package regexp: matching takes time proportional to the length of the pattern times that of the
// key in all cases.
type Pattern struct {
	text   string
	prefix string // the literals before the first wildcard
	wild   bool   // there is a wildcard
	deep   bool   // a "/" may follow the prefix
	expr   *regexp.Regexp
}

// Compile parses a pattern. A "[" without "]" or a "\" at the end is Invalid.
func Compile(text string) (Pattern, error) {
	p := Pattern{text: text}
	expr := "(?s)^"
	var n int
	var err error
	for rest := text; rest != "" && err == nil; rest = rest[n:] {
		var one, literal string
		one, literal, n, err = readToken(rest)
		expr += one
		p.wild = p.wild || literal == ""
		p.deep = p.deep || p.wild && (literal == "/" || strings.HasPrefix(rest, "**"))
		if !p.wild {
			p.prefix += literal
		}
	}
	if err == nil {
		p.expr, err = regexp.Compile(expr + "$")
	}
	if err != nil {
		return Pattern{}, fault.New(problem.Invalid, "pattern %q %v", text, err).
			WithHint(`write \[ for a literal bracket, or use --raw to turn wildcards off`)
	}
	return p, nil
}

// readToken translates the token at the start of s, which takes n bytes, to a regular expression. literal is the character that
// the token matches, or "" for a wildcard.
func readToken(s string) (expr, literal string, n int, err error) {
	switch {
	case strings.HasPrefix(s, "**"):
		return ".*", "", 2, nil
	case s[0] == '*':
		return "[^/]*", "", 1, nil
	case s[0] == '?':
		return "[^/]", "", 1, nil
	case s[0] == '[':
		expr, n, err = readClass(s)
		return expr, "", n, err
	}
	r, n, err := readRune(s)
	return regexp.QuoteMeta(string(r)), string(r), n, err
}

// readRune parses one character, which may be escaped.
func readRune(s string) (r rune, n int, err error) {
	escape := len(s) - len(strings.TrimPrefix(s, `\`))
	if len(s) == escape {
		return 0, 0, errors.New(`ends in "\"`)
	}
	r, n = utf8.DecodeRuneInString(s[escape:])
	return r, n + escape, nil
}

// readClass translates "[...]". A "]" right after the opening is a member.
func readClass(s string) (expr string, n int, err error) {
	n = 1
	negate := len(s) > 1 && (s[1] == '!' || s[1] == '^')
	if negate {
		n++
	}
	add := func(lo, hi rune) {
		if lo <= hi {
			expr += fmt.Sprintf(`\x{%x}-\x{%x}`, lo, hi)
		}
	}
	for first := true; ; first = false {
		switch {
		case n >= len(s):
			return "", 0, errors.New(`has a "[" without "]"`)
		case s[n] == ']' && !first && negate:
			return "[^/" + expr + "]", n + 1, nil
		case s[n] == ']' && !first && expr == "":
			return `[^\x{0}-\x{10ffff}]`, n + 1, nil // nothing
		case s[n] == ']' && !first:
			return "[" + expr + "]", n + 1, nil
		}
		lo, w, err := readRune(s[n:])
		if err != nil {
			return "", 0, err
		}
		n += w
		hi := lo
		if strings.HasPrefix(s[n:], "-") && !strings.HasPrefix(s[n:], "-]") && n+1 < len(s) {
			if hi, w, err = readRune(s[n+1:]); err != nil {
				return "", 0, err
			}
			n += 1 + w
		}
		if negate {
			add(lo, hi)
		} else {
			add(lo, min(hi, '/'-1)) // never "/"
			add(max(lo, '/'+1), hi)
		}
	}
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// HasWildcards reports whether the pattern can match more than one key.
func (p Pattern) HasWildcards() bool { return p.wild }

// Prefix returns the literal prefix of all matching keys; for a pattern without wildcards that is the whole key.
func (p Pattern) Prefix() string { return p.prefix }

// Flat reports whether no matching key can have a "/" after the literal prefix, so that a listing may skip
// everything deeper.
func (p Pattern) Flat() bool { return !p.deep }

// Deep returns the pattern that matches everything in a folder that p matches.
func (p Pattern) Deep() Pattern {
	deep, _ := Compile(strings.TrimSuffix(p.text, "/") + "/**") // a valid pattern followed by valid tokens
	return deep
}

// Match reports whether the whole key matches.
func (p Pattern) Match(key string) bool { return p.expr.MatchString(key) }
