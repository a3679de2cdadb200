package transfer

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// PairOptions are the options of cp and mv: which objects, and their target.
type PairOptions struct {
	cli.Selection
	Target string
	DryRun bool
}

// pair is an object and its target address.
type pair struct {
	locate.Object
	dst address.Remote
}

// find parses the arguments, and finds the objects and the target address of each. An object that would overwrite another one of
// the sources, or has no valid target, is reported and left out. All checks that need no transfer are made here, so that
// --dry-run, which verb describes, ends with the same exit code. It returns no pairs after a dry run.
func (o *PairOptions) find(ctx context.Context, cmd *cobra.Command, f *cli.Factory, report *cli.Report, verb string) ([]pair, *client.Client, error) {
	if !allRemote(append(slices.Clone(o.Addresses), o.Target)) {
		return nil, nil, notLocal(cmd, o.Addresses, o.Target)
	}
	search, err := o.Open(f, locate.Options{})
	if err != nil {
		return nil, nil, err
	}
	dst, err := locate.ReadDestination(o.Target, locate.Sources{Many: search.Many(), Recursive: o.Recursive})
	if err != nil {
		return nil, nil, err
	}
	objects, _ := search.Find(ctx, report)
	pairs := pairUp(objects, dst, checkBucket(ctx, search.Client, dst.Remote.Bucket, objects), report)
	if !o.DryRun {
		report.Summing("")
		return pairs, search.Client, nil
	}
	for _, p := range pairs {
		report.Done(would(verb, p.Address.String(), p.dst.String(), p.dst, p.File.Size))
	}
	return nil, search.Client, nil
}

// notLocal is the error about local paths in the arguments of cp or mv; the hint has the command for them.
func notLocal(cmd *cobra.Command, sources []string, target string) error {
	if !slices.ContainsFunc(append(slices.Clone(sources), target), address.IsRemote) {
		return cli.Usage(cmd, "both sides are local; one must be an s3:// address").WithHint("cp, mv or rsync of the system do this")
	}
	if cmd.Name() == "cp" {
		return cli.Usage(cmd, "the sources must be either all local or all s3:// addresses").WithHint("copy them with two commands")
	}
	way := "s3ctl cp " + sources[0] + " " + target
	return cli.Usage(cmd, "%s works between s3:// addresses only", cmd.Name()).WithHint("%s    then remove the source", way)
}

// pairUp determines the target address of each object. missing is why none of them can be written, or nil.
func pairUp(objects []locate.Object, dst locate.Destination, missing error, report *cli.Report) (pairs []pair) {
	sources := map[address.Remote]bool{}
	for _, object := range objects {
		sources[object.Address] = true
	}
	taken := map[address.Remote]address.Remote{}
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
	return pairs
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

// moved is the --json line for a file that was uploaded or downloaded, or an object that was copied or renamed. With --dry-run
// there is no new file yet.
type moved struct {
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

// movedResult is the result for the file f, which is the object at.
func movedResult(source, target string, at address.Remote, f rest.File) cli.Result {
	return moved{
		Source: source, Target: target, Bucket: at.Bucket, Key: at.Key, FileID: f.FileID, Size: f.Size,
		CRC: f.Checksums.CRC64NVME, Created: cli.Time(f.CreatedAt),
	}.result("")
}

// would is the result of a dry run for the object at, of size bytes.
func would(verb, source, target string, at address.Remote, size int64) cli.Result {
	return moved{Source: source, Target: target, Bucket: at.Bucket, Key: at.Key, Size: size, DryRun: true}.result("would " + verb + " ")
}

// result is the result with the line; did precedes it on a terminal.
func (m moved) result(did string) cli.Result {
	return cli.Result{
		JSON:  m,
		Cells: []string{m.Source, m.Target, cli.Number(m.Size)},
		Line:  did + m.Source + " -> " + m.Target + "  " + term.Size(m.Size),
		Size:  m.Size,
	}
}
