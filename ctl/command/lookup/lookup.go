// Package lookup has what the commands share that work on the objects which their arguments name: the flags of the lookup
// and their help, and the lookup itself.
package lookup

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/locate"
)

// WildcardHelp is the help text about wildcards in keys.
const WildcardHelp = `

Wildcards in keys (quote them in the shell): * any characters except "/", ** any characters,
? one character except "/", [a-z] one of these, [!a-z] one of the others, \* a literal star.
--raw turns them off.`

// Flags adds --recursive, to do something with everything under a prefix, --raw, --include and --exclude.
func Flags(cmd *cobra.Command, do string, recursive, raw *bool, rules *filter.Rules) {
	cmd.Flags().BoolVarP(recursive, "recursive", "r", false, do+" everything under the prefix")
	RawFlag(cmd, raw)
	rules.Flags(cmd.Flags())
}

// RawFlag adds --raw.
func RawFlag(cmd *cobra.Command, raw *bool) {
	cmd.Flags().BoolVar(raw, "raw", false, `treat * ? [ and \ in addresses as literal characters`)
}

// Read parses all arguments before anything is done. Invalid.
func Read(args []string, opts locate.Options) ([]locate.Target, error) {
	targets := make([]locate.Target, len(args))
	for i, arg := range args {
		t, err := locate.ReadTarget(arg, opts)
		if err != nil {
			return nil, err
		}
		targets[i] = t
	}
	return targets, nil
}

// All yields the objects of the targets that the filter selects, in order. A target that cannot be listed to its end is reported,
// and the next one follows.
func All(ctx context.Context, l client.Lister, targets []locate.Target, takes filter.Filter, report *cli.Report) iter.Seq[locate.Object] {
	return func(yield func(locate.Object) bool) {
		for _, t := range targets {
			for object, err := range t.Objects(ctx, l) {
				if err != nil {
					report.Fail(err)
					break
				}
				if takes.Takes(object.Rel) && !yield(object) {
					return
				}
			}
		}
	}
}

// Find returns the objects that the targets name and the rules select, each once. Invalid: a rule.
func Find(ctx context.Context, l client.Lister, targets []locate.Target, rules filter.Rules, report *cli.Report) ([]locate.Object, error) {
	takes, err := rules.Compile()
	if err != nil {
		return nil, err
	}
	var objects []locate.Object
	seen := map[string]bool{}
	for object := range All(ctx, l, targets, takes, report) {
		if !seen[object.File.FileID] {
			seen[object.File.FileID] = true
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// Each runs work on the objects of the targets one after another, and reports the results.
func Each(ctx context.Context, l client.Lister, targets []locate.Target, report *cli.Report, work func(locate.Object) error) {
	for object := range All(ctx, l, targets, filter.Filter{}, report) {
		if err := work(object); err != nil {
			report.Fail(fault.Wrap(object.Address.String(), err))
			continue
		}
		report.Count()
	}
}

// Bytes is the size of all objects in bytes.
func Bytes(objects []locate.Object) (sum int64) {
	for _, object := range objects {
		sum += object.File.Size
	}
	return sum
}
