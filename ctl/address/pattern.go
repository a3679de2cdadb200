package address

import (
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
// Matching takes time proportional to the length of the pattern times that of the key in all cases.
type Pattern struct {
	text   string
	tokens []token
}

type tokenKind uint8

const (
	literal  tokenKind = iota // r itself
	one                       // any rune but '/'
	class                     // a rune in the ranges (or not in them)
	star                      // any run without '/'
	globstar                  // any run
)

type token struct {
	kind   tokenKind
	r      rune
	negate bool
	ranges []runeRange
}

type runeRange struct{ lo, hi rune }

// Compile parses a pattern. A "[" without "]" or a "\" at the end is Invalid.
func Compile(text string) (Pattern, error) {
	p := Pattern{text: text}
	for rest := text; rest != ""; {
		t, n, why := readToken(rest)
		if why != "" {
			return Pattern{}, fault.New(problem.Invalid, "pattern %q %s", text, why).
				WithHint(`write \[ for a literal bracket, or use --raw to turn wildcards off`)
		}
		p.tokens = append(p.tokens, t)
		rest = rest[n:]
	}
	return p, nil
}

// readToken parses the token at the start of s and returns its length in bytes.
func readToken(s string) (t token, n int, why string) {
	switch s[0] {
	case '*':
		if strings.HasPrefix(s, "**") {
			return token{kind: globstar}, 2, ""
		}
		return token{kind: star}, 1, ""
	case '?':
		return token{kind: one}, 1, ""
	case '[':
		return readClass(s)
	}
	r, n, why := readRune(s)
	return token{kind: literal, r: r}, n, why
}

// readRune parses one character, which may be escaped.
func readRune(s string) (r rune, n int, why string) {
	skip := 0
	if s[0] == '\\' {
		skip = 1
	}
	if len(s) == skip {
		return 0, 0, `ends in "\"`
	}
	r, n = utf8.DecodeRuneInString(s[skip:])
	return r, n + skip, ""
}

// readClass parses "[...]". A "]" right after the opening is a member.
func readClass(s string) (t token, n int, why string) {
	t.kind = class
	n = 1
	if n < len(s) && (s[n] == '!' || s[n] == '^') {
		t.negate = true
		n++
	}
	for first := true; ; first = false {
		switch {
		case n >= len(s):
			return token{}, 0, `has a "[" without "]"`
		case s[n] == ']' && !first:
			return t, n + 1, ""
		}
		lo, w, why := readRune(s[n:])
		if why != "" {
			return token{}, 0, why
		}
		n += w
		hi := lo
		if strings.HasPrefix(s[n:], "-") && !strings.HasPrefix(s[n:], "-]") && n+1 < len(s) {
			hi, w, why = readRune(s[n+1:])
			if why != "" {
				return token{}, 0, why
			}
			n += 1 + w
		}
		t.ranges = append(t.ranges, runeRange{lo, hi})
	}
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// HasWildcards reports whether the pattern can match more than one key.
func (p Pattern) HasWildcards() bool {
	for _, t := range p.tokens {
		if t.kind != literal {
			return true
		}
	}
	return false
}

// Prefix returns the literal prefix of all matching keys; for a pattern without wildcards that is the whole key.
func (p Pattern) Prefix() string {
	var b strings.Builder
	for _, t := range p.tokens {
		if t.kind != literal {
			break
		}
		b.WriteRune(t.r)
	}
	return b.String()
}

// Flat reports whether no matching key can have a "/" after the literal prefix, so that a listing may skip
// everything deeper.
func (p Pattern) Flat() bool {
	wild := false
	for _, t := range p.tokens {
		wild = wild || t.kind != literal
		if wild && (t.kind == globstar || t.kind == literal && t.r == '/') {
			return false
		}
	}
	return true
}

// Deep returns the pattern that matches everything in a folder that p matches.
func (p Pattern) Deep() Pattern {
	tokens := append([]token(nil), p.tokens...)
	if n := len(tokens); n == 0 || tokens[n-1].kind != literal || tokens[n-1].r != '/' {
		tokens = append(tokens, token{kind: literal, r: '/'})
	}
	return Pattern{text: p.text + "/**", tokens: append(tokens, token{kind: globstar})}
}

// Match reports whether the whole key matches. It tracks all positions in the pattern at once and never
// backtracks.
func (p Pattern) Match(key string) bool {
	now := make([]bool, len(p.tokens)+1)
	next := make([]bool, len(p.tokens)+1)
	p.reach(now, 0)
	for _, r := range key {
		clear(next)
		for i, t := range p.tokens {
			if !now[i] || !t.accepts(r) {
				continue
			}
			if t.kind == star || t.kind == globstar {
				p.reach(next, i)
			} else {
				p.reach(next, i+1)
			}
		}
		now, next = next, now
	}
	return now[len(p.tokens)]
}

// reach marks position i and the positions after stars that may match nothing.
func (p Pattern) reach(set []bool, i int) {
	for !set[i] {
		set[i] = true
		if i == len(p.tokens) || p.tokens[i].kind != star && p.tokens[i].kind != globstar {
			return
		}
		i++
	}
}

func (t token) accepts(r rune) bool {
	switch t.kind {
	case literal:
		return r == t.r
	case globstar:
		return true
	case one, star:
		return r != '/'
	}
	in := false
	for _, rr := range t.ranges {
		in = in || rr.lo <= r && r <= rr.hi
	}
	return in != t.negate && r != '/'
}
