// Package filter implements --include and --exclude for every command that works on many files: they select names,
// relative to the argument that the files were found under.
package filter

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/ctl/address"
)

// Rule is one --include or --exclude.
type Rule struct {
	Pattern string
	Include bool
}

// Rules are the rules of a command line, in its order. The last one that matches a name decides. A name without a
// match is selected, unless the first rule is an --include: a command line that begins with what to select does not mean the
// rest.
type Rules []Rule

// Help is the help text about the rules.
const Help = `

--include and --exclude select by name, relative to the argument; the last one that matches
decides. A name without a match is selected, unless the first of them is an --include. A
pattern without "/" matches a file or folder at any depth, one with "/" from the top;
everything in a folder that matches, matches too. Wildcards are those of keys.`

// Flags adds --include and --exclude to a command.
func (r *Rules) Flags(flags *pflag.FlagSet) {
	flags.Var(&flag{rules: r, include: true}, "include", "select names that match; may be repeated")
	flags.Var(&flag{rules: r}, "exclude", "skip names that match; may be repeated")
}

// flag adds rules of one kind while the command line is parsed.
type flag struct {
	rules   *Rules
	include bool
}

// Set implements pflag.Value.
func (f *flag) Set(pattern string) error {
	if _, err := compile(pattern); err != nil {
		return errors.New(err.Error()) // without the kind Invalid: here it is an error of usage
	}
	*f.rules = append(*f.rules, Rule{Pattern: pattern, Include: f.include})
	return nil
}

// String implements pflag.Value. The two flags share their rules, so neither has a value of its own.
func (*flag) String() string { return "" }

// Type implements pflag.Value.
func (*flag) Type() string { return "PATTERN" }

// Filter is compiled rules. The zero value selects everything.
type Filter struct {
	rules []compiled
}

type compiled struct {
	pattern  address.Pattern
	anchored bool // matches from the top only
	include  bool
}

// Compile compiles the rules. Invalid.
func (r Rules) Compile() (Filter, error) {
	f := Filter{rules: make([]compiled, len(r))}
	for i, rule := range r {
		c, err := compile(rule.Pattern)
		if err != nil {
			return Filter{}, err
		}
		c.include = rule.Include
		f.rules[i] = c
	}
	return f, nil
}

func compile(pattern string) (compiled, error) {
	text := strings.TrimSuffix(pattern, "/")
	c := compiled{anchored: strings.Contains(text, "/")}
	var err error
	c.pattern, err = address.Compile(strings.TrimPrefix(text, "/"))
	return c, err
}

// Takes reports whether a name, with slashes as separators, is selected.
func (f Filter) Takes(name string) bool {
	for i := len(f.rules) - 1; i >= 0; i-- {
		if f.rules[i].matches(name) {
			return f.rules[i].include
		}
	}
	return len(f.rules) == 0 || !f.rules[0].include
}

// matches tries the name and each of its parent folders.
func (c compiled) matches(name string) bool {
	for end := 0; end <= len(name); end++ {
		if end < len(name) && name[end] != '/' {
			continue
		}
		part := name[:end]
		if !c.anchored {
			part = address.Base(part)
		}
		if c.pattern.Match(part) {
			return true
		}
	}
	return false
}
