package transfer

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/command/lookup"
	"github.com/ringstore/ringstore/ctl/copier"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/transfer"
)

// CpOptions are the options of cp.
type CpOptions struct {
	Factory *cli.Factory

	Sources   []string
	Target    string
	Recursive bool
	Raw       bool
	DryRun    bool
	Rules     filter.Rules
	Parallel  int
	Tries     int
}

// NewCp returns the command.
func NewCp(f *cli.Factory) *cobra.Command {
	o := &CpOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "cp s3://BUCKET/KEY... s3://BUCKET[/KEY]",
		Short: "Copy objects on the server",
		Long: `Copy objects on the server, also from bucket to bucket; their bytes do not pass through
this machine. Content type and metadata are kept; durability is that of the target's
bucket. A target that ends in a slash, or names only the bucket, keeps the names; any
other is the key of a single copy. With -r, everything under a prefix is copied:
"s3://b/photos" keeps "photos" in the keys, "s3://b/photos/" does not.

An existing object is replaced atomically, once the copy is durable and has the source's
checksum. Objects of more than 256 MiB are copied in concurrent parts.` + lookup.WildcardHelp + filter.Help,
		Example: `  s3ctl cp s3://docs/plan.txt s3://archive/2026/plan.txt
  s3ctl cp 's3://photos/bergen/*.jpg' s3://shared/bergen/
  s3ctl cp -r --exclude '*.tmp' s3://www/ s3://www-next`,
		Args: cli.ListAndLast(&o.Sources, &o.Target),
		RunE: f.Run(o, o.run),
	}
	lookup.Flags(cmd, "copy", &o.Recursive, &o.Raw, &o.Rules)
	cli.DryRunFlag(cmd, &o.DryRun)
	parallelFlag(cmd, &o.Parallel, "objects to copy concurrently")
	triesFlag(cmd, &o.Tries)
	return cmd
}

func (o *CpOptions) run(ctx context.Context, cmd *cobra.Command) error {
	targets, dst, err := readPairArgs(cmd, o.Sources, o.Target, locate.Options{Recursive: o.Recursive, Raw: o.Raw})
	if err != nil {
		return err
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	progress := o.Factory.Progress()
	report := o.Factory.NewReport("cp", "object", progress)
	pairs, err := pairUp(ctx, c, targets, dst, o.Rules, report)
	if err != nil {
		return err
	}
	if o.DryRun {
		return dryRun(report, pairs, "copy")
	}
	for _, p := range pairs {
		progress.Plan(1, p.File.Size)
	}
	copies := newCopier(o.Factory, c, progress, o.Parallel, o.Tries)
	return cli.Each(ctx, report, o.Parallel, pairs, func(p pair, retrying func(error, time.Duration)) (cli.Result, error) {
		one := copies
		one.Retry.Notify = retrying
		f, err := one.Copy(ctx, p.File, p.dst)
		return p.result(f), err
	})
}

// newCopier returns a copier that copies as many parts of a large object concurrently as objects.
func newCopier(f *cli.Factory, store copier.Store, meter transfer.Meter, parallel, tries int) copier.Copier {
	c := copier.Copier{Store: store, Retry: f.Retry(), Meter: meter, Sizes: copier.DefaultSizes(), Parallel: parallel}
	c.Retry.Tries = tries
	return c
}

// readPairArgs parses the arguments of cp and mv before anything is done.
func readPairArgs(cmd *cobra.Command, sources []string, target string, opts locate.Options) ([]locate.Target, locate.Destination, error) {
	if !allRemote(append(slices.Clone(sources), target)) {
		return nil, locate.Destination{}, notLocal(cmd, sources, target)
	}
	targets, err := lookup.Read(sources, opts)
	if err != nil {
		return nil, locate.Destination{}, err
	}
	many := len(targets) > 1 || targets[0].Wild()
	dst, err := locate.ReadDestination(target, locate.Sources{Many: many, Recursive: opts.Recursive})
	return targets, dst, err
}

// notLocal is the error about a local path in the arguments of cp and mv; the hint has the command for local files.
func notLocal(cmd *cobra.Command, sources []string, target string) error {
	way := "s3ctl put " + sources[0] + " " + target
	switch {
	case !address.IsRemote(sources[0]) && !address.IsRemote(target):
		return cli.Usage(cmd, "%s works between s3:// addresses, but both arguments are local", cmd.Name())
	case !address.IsRemote(target):
		way = "s3ctl get " + sources[0] + " " + target
	case address.IsRemote(sources[0]):
		way = "s3ctl put FILE " + target
	}
	err := cli.Usage(cmd, "%s works between s3:// addresses only", cmd.Name())
	if cmd.Name() == "mv" {
		way += "    and remove the source after that has succeeded"
	}
	return err.WithHint("%s", way)
}
