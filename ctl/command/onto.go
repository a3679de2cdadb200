package command

import (
	"context"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/rest"
)

// onto is an object and the address that it is to have, for cp and mv.
type onto struct {
	locate.Object
	dst address.Remote
}

// buckets looks up objects and buckets; *client.Client is one.
type buckets interface {
	locate.Lister
	Bucket(ctx context.Context, name string) (rest.Bucket, error)
}

// pairUp finds the objects of the targets and where each goes. What has no good
// place is reported and left out: no object may be lost under another. All that refuses an object before its bytes move is
// found here, so that --dry-run ends as the run does.
func pairUp(ctx context.Context, l buckets, targets []locate.Target, dst locate.Destination, rules filter.Rules, report *cli.Report) ([]onto, error) {
	objects, err := findObjects(ctx, l, targets, rules, report)
	if err != nil {
		return nil, err
	}
	sources := map[address.Remote]bool{}
	for _, object := range objects {
		sources[object.Address] = true
	}
	pairs := make([]onto, 0, len(objects))
	taken := map[address.Remote]address.Remote{}
	there := bucketIsThere(ctx, l, dst.Remote.Bucket, objects)
	for _, object := range objects {
		to, err := dst.Place(object.Rel)
		other, twice := taken[to]
		switch {
		case err != nil:
		case there != nil:
			err = there
		case to == object.Address:
			err = fault.New("conflict", "source and target are the same object").WithHint("name another target")
		case twice:
			err = fault.New("conflict", "would get the same key as %s", other).WithHint("name targets of their own for them")
		case sources[to]:
			err = fault.New("conflict", "would replace %s, which is a source itself", to).WithHint("choose a target outside of the sources")
		}
		if err != nil {
			report.Fail(fault.Wrap(object.Address.String(), err))
			continue
		}
		taken[to] = object.Address
		pairs = append(pairs, onto{Object: object, dst: to})
	}
	return pairs, nil
}

// bucketIsThere makes sure that the target's bucket exists, unless that shows by what was found in it.
func bucketIsThere(ctx context.Context, l buckets, name string, objects []locate.Object) error {
	for _, object := range objects {
		if object.Address.Bucket != name {
			_, err := l.Bucket(ctx, name)
			return err
		}
	}
	return nil
}

// findObjects looks up what the targets name and the rules take; an object that two of them name counts once.
func findObjects(ctx context.Context, l locate.Lister, targets []locate.Target, rules filter.Rules, report *cli.Report) ([]locate.Object, error) {
	takes, err := rules.Compile()
	if err != nil {
		return nil, err
	}
	var objects []locate.Object
	seen := map[string]bool{}
	for _, t := range targets {
		for object, err := range t.Objects(ctx, l) {
			if err != nil {
				report.Fail(err)
				break
			}
			if seen[object.File.FileID] || !takes.Takes(object.Rel) {
				continue
			}
			seen[object.File.FileID] = true
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// ontoLine is the line of --json for an object that got an address from another.
type ontoLine struct {
	Source  string `json:"source"`
	Target  string `json:"target"`
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	FileID  string `json:"file_id,omitempty"`
	Size    int64  `json:"size"`
	CRC     string `json:"crc64nvme,omitempty"`
	Created string `json:"created_at,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func ontoResult(p onto, f rest.File) cli.Result {
	source, target := p.Address.String(), p.dst.String()
	return cli.Result{
		JSON: ontoLine{
			Source: source, Target: target, Bucket: p.dst.Bucket, Key: p.dst.Key, FileID: f.FileID, Size: f.Size,
			CRC: f.Checksums.CRC64NVME, Created: timestamp(f.CreatedAt),
		},
		Cells: []string{source, target, bytesOf(f.Size)},
		Line:  source + " -> " + target + "  " + term.Size(f.Size),
	}
}

// wouldResult is what --dry-run shows in its place.
func (p onto) wouldResult(verb string) cli.Result {
	source, target := p.Address.String(), p.dst.String()
	return cli.Result{
		JSON:  ontoLine{Source: source, Target: target, Bucket: p.dst.Bucket, Key: p.dst.Key, Size: p.File.Size, DryRun: true},
		Cells: []string{source, target, bytesOf(p.File.Size)},
		Line:  "would " + verb + " " + source + " -> " + target + "  " + term.Size(p.File.Size),
	}
}

const dryRunHelp = "show what would be done, and do nothing"
