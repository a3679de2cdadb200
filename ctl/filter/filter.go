// Package filter is what --include and --exclude mean, for every command that
// works on many files: which names, relative to what the command line named, are taken.
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

// Rules are those of a command line, in its order. The last one that matches a name
// decides. A name that none matches is taken, unless the first rule is an
// --include: who begins by saying what to take does not want the rest.
type Rules []Rule

// Help is what the commands say of the rules.
const Help = `

--include and --exclude pick by name, relative to what was named; the last one that matches
decides. What none matches is taken, unless the first of them is an --include. A pattern
without "/" matches a file or folder at any depth, one with "/" from the top; what
lies in a folder that matches, matches too. Wildcards are those of keys.`

// Flags adds --include and --exclude to a command.
func (r *Rules) Flags(flags *pflag.FlagSet) {
	flags.Var(&flag{rules: r, include: true}, "include", "take names that match; may be repeated")
	flags.Var(&flag{rules: r}, "exclude", "pass over names that match; may be repeated")
}

// flag adds rules of one kind as the command line is read.
type flag struct {
	rules   *Rules
	include bool
}

// Set implements pflag.Value.
func (f *flag) Set(pattern string) error {
	if _, err := compile(pattern); err != nil {
		return errors.New(err.Error()) // a slip of the command line, whatever a pattern is elsewhere
	}
	*f.rules = append(*f.rules, Rule{Pattern: pattern, Include: f.include})
	return nil
}

// String implements pflag.Value. The two flags share their rules, so neither has a value to show.
func (*flag) String() string { return "" }

// Type implements pflag.Value.
func (*flag) Type() string { return "PATTERN" }

// Filter is rules made ready. The zero value takes everything.
type Filter struct {
	rules []compiled
}

type compiled struct {
	pattern  address.Pattern
	anchored bool // matches from the top
	include  bool
}

// Compile makes rules ready. Invalid.
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

// Takes reports whether a name, written with slashes, is taken.
func (f Filter) Takes(name string) bool {
	for i := len(f.rules) - 1; i >= 0; i-- {
		if f.rules[i].matches(name) {
			return f.rules[i].include
		}
	}
	return len(f.rules) == 0 || !f.rules[0].include
}

// matches tries the name and each folder that it lies in.
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
