package transfer

import (
	"context"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/command/lookup"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// pair is an object and its target address, for cp and mv.
type pair struct {
	locate.Object
	dst address.Remote
}

// pairUp finds the objects of the targets and the target address of each. An object that would overwrite another one of the
// sources, or has no valid target, is reported and left out. All checks that need no transfer are made here, so that --dry-run
// ends with the same exit code.
func pairUp(ctx context.Context, c *client.Client, targets []locate.Target, dst locate.Destination, rules filter.Rules, report *cli.Report) ([]pair, error) {
	objects, err := lookup.Find(ctx, c, targets, rules, report)
	if err != nil {
		return nil, err
	}
	sources := map[address.Remote]bool{}
	for _, object := range objects {
		sources[object.Address] = true
	}
	pairs := make([]pair, 0, len(objects))
	taken := map[address.Remote]address.Remote{}
	missing := checkBucket(ctx, c, dst.Remote.Bucket, objects)
	for _, object := range objects {
		to, err := dst.Place(object.Rel)
		other, twice := taken[to]
		switch {
		case err != nil:
		case missing != nil:
			err = missing
		case to == object.Address:
			err = fault.New(problem.Conflict, "source and target are the same object").WithHint("name another target")
		case twice:
			err = fault.New(problem.Conflict, "it would get the same key as %s", other).WithHint("choose different targets for them")
		case sources[to]:
			err = fault.New(problem.Conflict, "it would replace %s, which is also a source", to).WithHint("choose a target that is not among the sources")
		}
		if err != nil {
			report.Fail(fault.Wrap(object.Address.String(), err))
			continue
		}
		taken[to] = object.Address
		pairs = append(pairs, pair{Object: object, dst: to})
	}
	return pairs, nil
}

// checkBucket checks that the target's bucket exists, unless a source was found in it.
func checkBucket(ctx context.Context, c *client.Client, name string, objects []locate.Object) error {
	for _, object := range objects {
		if object.Address.Bucket != name {
			_, err := c.Bucket(ctx, name)
			return err
		}
	}
	return nil
}

// result is the result of a pair whose copy or renamed object is f.
func (p pair) result(f rest.File) cli.Result {
	return movedResult(p.Address.String(), p.dst.String(), p.dst, f)
}

// wouldResult is the result with --dry-run.
func (p pair) wouldResult(verb string) cli.Result {
	line := moved{Source: p.Address.String(), Target: p.dst.String(), Bucket: p.dst.Bucket, Key: p.dst.Key, Size: p.File.Size, DryRun: true}
	return line.result("would " + verb + " ")
}

// dryRun shows what would be done with the pairs.
func dryRun(report *cli.Report, pairs []pair, verb string) error {
	for _, p := range pairs {
		report.Done(p.wouldResult(verb))
	}
	return report.Close()
}
