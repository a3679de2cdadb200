package address

import "strings"

// Rule is one --include or --exclude: it selects or skips names, relative to the argument that they were found under.
type Rule struct {
	Pattern string
	Include bool
}

// Rules are the rules of a command line, in its order. The last one that matches a name decides. A name without a
// match is selected, unless the first rule is an --include: a command line that begins with what to select does not mean the
// rest.
type Rules []Rule

// Filter is compiled rules. The zero value selects everything.
type Filter []compiled

type compiled struct {
	pattern  Pattern
	anchored bool // matches from the top only
	include  bool
}

// Compile compiles the rules. Invalid.
func (r Rules) Compile() (Filter, error) {
	f := make(Filter, len(r))
	for i, rule := range r {
		text := strings.TrimSuffix(rule.Pattern, "/")
		pattern, err := Compile(strings.TrimPrefix(text, "/"))
		if err != nil {
			return nil, err
		}
		f[i] = compiled{pattern, strings.Contains(text, "/"), rule.Include}
	}
	return f, nil
}

// Takes reports whether a name, with slashes as separators, is selected.
func (f Filter) Takes(name string) bool {
	for i := len(f) - 1; i >= 0; i-- {
		if f[i].matches(name) {
			return f[i].include
		}
	}
	return len(f) == 0 || !f[0].include
}

// matches tries the name and each of its parent folders.
func (c compiled) matches(name string) bool {
	for end := 0; end <= len(name); end++ {
		if end < len(name) && name[end] != '/' {
			continue
		}
		part := name[:end]
		if !c.anchored {
			part = Base(part)
		}
		if c.pattern.Match(part) {
			return true
		}
	}
	return false
}
