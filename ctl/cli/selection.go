package cli

import (
	"context"
	"errors"
	"iter"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
)

// WildcardHelp is the help text about wildcards in keys.
const WildcardHelp = `

Wildcards in keys (quote them in the shell): * any characters except "/", ** any characters,
? one character except "/", [a-z] one of these, [!a-z] one of the others, \* a literal star.
--raw turns them off.`

// RulesHelp is the help text about --include and --exclude.
const RulesHelp = `

--include and --exclude select by name, relative to the argument; the last one that matches
decides. A name without a match is selected, unless the first of them is an --include. A
pattern without "/" matches a file or folder at any depth, one with "/" from the top;
everything in a folder that matches, matches too. Wildcards are those of keys.`

// Selection has the arguments and flags by which a command selects objects.
type Selection struct {
	Addresses []string
	Recursive bool
	Raw       bool
	Rules     address.Rules
}

// Flags adds --recursive, to do something with everything under a prefix, --raw, --include and --exclude.
func (s *Selection) Flags(cmd *cobra.Command, do string) {
	RecursiveFlag(cmd, &s.Recursive, do+" everything under the prefix")
	s.RawFlag(cmd)
	RulesFlags(cmd, &s.Rules)
}

// RecursiveFlag adds --recursive, also as -R, as cp(1) and ls(1) have it.
func RecursiveFlag(cmd *cobra.Command, recursive *bool, usage string) {
	cmd.Flags().BoolVarP(recursive, "recursive", "r", false, usage)
	cmd.Flags().BoolVarP(recursive, "Recursive", "R", false, usage)
	cmd.Flag("Recursive").Hidden = true
}

// RawFlag adds --raw.
func (s *Selection) RawFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.Raw, "raw", false, `treat * ? [ and \ in addresses as literal characters`)
}

// RulesFlags adds --include and --exclude to a command.
func RulesFlags(cmd *cobra.Command, rules *address.Rules) {
	add := func(name, usage string) {
		parse := func(pattern string) (address.Rules, error) {
			all := append(*rules, address.Rule{Pattern: pattern, Include: name == "include"})
			if _, err := all.Compile(); err != nil {
				return nil, errors.New(err.Error()) // without the kind Invalid: here it is an error of usage
			}
			return all, nil
		}
		// The two flags share their rules, so neither has a value of its own.
		cmd.Flags().Var(NewValue("PATTERN", rules, parse, func(address.Rules) string { return "" }), name, usage)
	}
	add("include", "select names that match; may be repeated")
	add("exclude", "skip names that match; may be repeated")
}

// Search is a selection that was checked, and the client to look it up with.
type Search struct {
	Client  *client.Client
	Targets []locate.Target
	takes   address.Filter
}

// Open parses the addresses and rules before anything is done. Invalid.
func (s *Selection) Open(f *Factory, opts locate.Options) (search *Search, err error) {
	opts.Recursive, opts.Raw = opts.Recursive || s.Recursive, s.Raw
	search = &Search{Targets: make([]locate.Target, len(s.Addresses))}
	for i, arg := range s.Addresses {
		if search.Targets[i], err = locate.ReadTarget(arg, opts); err != nil {
			return nil, err
		}
	}
	if search.takes, err = s.Rules.Compile(); err != nil {
		return nil, err
	}
	search.Client, err = f.Client()
	return search, err
}

// Many reports whether the search can find more than one object.
func (s *Search) Many() bool { return len(s.Targets) > 1 || s.Targets[0].Many() }

// In yields the selected objects of one target, in order, or an error, which ends it.
func (s *Search) In(ctx context.Context, t locate.Target) iter.Seq2[locate.Object, error] {
	return func(yield func(locate.Object, error) bool) {
		for object, err := range t.Objects(ctx, s.Client) {
			if (err != nil || s.takes.Takes(object.Rel)) && !yield(object, err) {
				return
			}
		}
	}
}

// All yields the selected objects, in order. A target that cannot be listed to its end is reported, and the next one follows.
func (s *Search) All(ctx context.Context, report *Report) iter.Seq[locate.Object] {
	return func(yield func(locate.Object) bool) {
		for _, t := range s.Targets {
			for object, err := range s.In(ctx, t) {
				if err != nil {
					report.Fail(err)
					break
				}
				if !yield(object) {
					return
				}
			}
		}
	}
}

// Find returns the selected objects, each once, and their size in bytes.
func (s *Search) Find(ctx context.Context, report *Report) (objects []locate.Object, bytes int64) {
	seen := map[string]bool{}
	for object := range s.All(ctx, report) {
		if !seen[object.File.FileID] {
			seen[object.File.FileID] = true
			objects = append(objects, object)
			bytes += object.File.Size
		}
	}
	return objects, bytes
}

// Each runs work on the selected objects one after another, and reports the results.
func (s *Search) Each(ctx context.Context, report *Report, work func(locate.Object) error) error {
	for object := range s.All(ctx, report) {
		if err := work(object); err != nil {
			report.Fail(fault.Wrap(object.Address.String(), err))
			continue
		}
		report.Count()
	}
	return report.Close()
}
