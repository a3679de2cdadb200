package transfer

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
)

// CpOptions are the options of cp.
type CpOptions struct {
	Factory *cli.Factory
	PairOptions
	ContentType string
	FollowLinks bool
	ManagerOptions
}

// NewCp returns the command.
func NewCp(f *cli.Factory) *cobra.Command {
	o := &CpOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "cp SOURCE... TARGET",
		Short: "Copy files to, from and between buckets",
		Long: `Copy files, as put does to an s3:// address and get from one; "-" is a standard stream.
Between two addresses objects are copied on the server: their bytes do not pass
through this machine, content type and metadata are kept, and durability is that of
the target's bucket.

A target that ends in a slash, or names only a bucket, keeps the names; any other is
the name of a single copy. With -r, everything under a prefix or in a folder is
copied: "photos" keeps its own name in those of the copies, "photos/" does not.

An existing object is replaced atomically, once the copy is durable and has the
source's checksum.` + cli.WildcardHelp + cli.RulesHelp,
		Example: `  s3ctl cp report.pdf s3://docs/2026/
  s3ctl cp s3://docs/plan.txt s3://archive/2026/plan.txt
  s3ctl cp 's3://photos/bergen/*.jpg' pictures/
  s3ctl cp -r --exclude '*.tmp' s3://www/ s3://www-next`,
		Args: cli.ListAndLast(&o.Addresses, &o.Target),
		RunE: f.Run(o, o.run),
	}
	o.Selection.Flags(cmd, "copy")
	cli.DryRunFlag(cmd, &o.DryRun)
	contentTypeFlag(cmd, &o.ContentType)
	followFlag(cmd, &o.FollowLinks)
	o.flags(cmd)
	return cmd
}

func (o *CpOptions) run(ctx context.Context, cmd *cobra.Command) error {
	switch {
	case !slices.ContainsFunc(o.Addresses, address.IsRemote) && address.IsRemote(o.Target):
		put := PutOptions{
			Factory: o.Factory, Sources: o.Addresses, Destination: o.Target, Recursive: o.Recursive, ContentType: o.ContentType, DryRun: o.DryRun,
			FollowLinks: o.FollowLinks, Rules: o.Rules, ManagerOptions: o.ManagerOptions,
		}
		return put.run(ctx, cmd)
	case allRemote(o.Addresses) && !address.IsRemote(o.Target):
		get := GetOptions{Factory: o.Factory, Selection: o.Selection, Target: o.Target, DryRun: o.DryRun, ManagerOptions: o.ManagerOptions}
		return get.run(ctx, cmd)
	}
	return o.copy(ctx, cmd)
}

// copy copies objects on the server.
func (o *CpOptions) copy(ctx context.Context, cmd *cobra.Command) error {
	progress := o.Factory.Progress()
	report := o.Factory.NewReport("cp", "object")
	pairs, c, err := o.find(ctx, cmd, o.Factory, report, "copy")
	if err != nil {
		return err
	}
	for _, p := range pairs {
		progress.Plan(1, p.File.Size)
	}
	manager := o.manager(report, c)
	return cli.Each(ctx, report, o.Parallel, pairs, func(p pair, task *cli.Task) (cli.Result, error) {
		f, err := task.With(manager).CopyFile(ctx, p.File, p.dst)
		return p.result(f), err
	})
}

// mvParallel is how many objects are renamed concurrently.
const mvParallel = 16

// MvOptions are the options of mv.
type MvOptions struct {
	Factory *cli.Factory
	PairOptions
}

// NewMv returns the command.
func NewMv(f *cli.Factory) *cobra.Command {
	o := &MvOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "mv s3://BUCKET/KEY... s3://BUCKET[/KEY]",
		Short: "Rename objects",
		Long: `Rename objects, also to another bucket. Each rename is atomic, whatever the object's
size: it is never visible under both names or under none. The bytes are not moved and keep
the durability that they were stored with; for that of another bucket use cp and rm. An
existing object of the new name is replaced.

A target that ends in a slash, or names only the bucket, keeps the names; any other is the
new name of a single object. With -r, everything under a prefix is renamed:
"s3://b/photos" keeps "photos" in the keys, "s3://b/photos/" does not.` + cli.WildcardHelp + cli.RulesHelp,
		Example: `  s3ctl mv s3://docs/draft.txt s3://docs/2026/report.txt
  s3ctl mv 's3://inbox/*.pdf' s3://docs/
  s3ctl mv -r s3://www/old/ s3://www/new`,
		Args: cli.ListAndLast(&o.Addresses, &o.Target),
		RunE: f.Run(o, o.run),
	}
	o.Selection.Flags(cmd, "rename")
	cli.DryRunFlag(cmd, &o.DryRun)
	return cmd
}

func (o *MvOptions) run(ctx context.Context, cmd *cobra.Command) error {
	report := o.Factory.NewReport("mv", "object")
	pairs, c, err := o.find(ctx, cmd, o.Factory, report, "rename")
	if err != nil {
		return err
	}
	o.Factory.Progress().Plan(len(pairs), 0)
	return cli.Each(ctx, report, mvParallel, pairs, func(p pair, _ *cli.Task) (cli.Result, error) {
		f, err := c.Rename(ctx, p.File.FileID, p.dst.Bucket, p.dst.Key)
		return p.result(f), err
	})
}
