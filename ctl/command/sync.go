package command

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/syncer"
)

// SyncOptions are those of sync.
type SyncOptions struct {
	Factory *cli.Factory

	Source, Target string
	Delete         bool
	Checksum       bool
	DryRun         bool
	Yes            bool
	Rules          filter.Rules
	Moving
}

// NewSync makes the command. runF, unless nil, runs instead of the real thing.
func NewSync(f *cli.Factory, runF func(context.Context, *SyncOptions) error) *cobra.Command {
	o := &SyncOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "sync SOURCE TARGET",
		Short: "Make one folder like another, here or there",
		Long: `Bring a folder up to date with another: put, get or copy what is new or has changed.
One of them or both are behind an s3:// prefix. Both mean what is in them, with or without a
slash at the end, and are taken as they are written; sync knows no wildcards.

A file is unchanged when size and time agree. put and sync store the time of a
file's last change with it; an object without one must not be older than the file
it is compared with. With --checksum, size and CRC64NVME decide, and local files are
read for it. Between two prefixes they always do.

With --delete, what only the target has is removed at the end, and only if all
before went well; what stands in the way of a new name goes just before it comes. sync
asks first; where it cannot ask it refuses, unless --yes is given. A source without any file is
refused: it may be a disk that is not mounted.

What sync cannot know, it leaves alone on both sides, says so, and counts it: what --exclude
passes over, links to folders and what lies behind them, devices, downloads that are not
complete, what vanished meanwhile, and names that the other side cannot have. Links in a local
target are neither replaced nor followed. Empty folders, and objects that only stand for a
folder, are not synced with a local folder.` + filter.Help,
		Example: `  s3ctl sync photos s3://backup/photos
  s3ctl sync --delete --dry-run site s3://www
  s3ctl sync s3://www restored --exclude '*.tmp'`,
		Args: cli.Args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Source, o.Target = args[0], args[1]
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			return cli.Classified(o.run(cmd.Context(), cmd))
		},
	}
	cmd.Flags().BoolVar(&o.Delete, "delete", false, "remove what the source does not have")
	cmd.Flags().BoolVarP(&o.Checksum, "checksum", "c", false, "compare checksums, not times")
	cmd.Flags().BoolVarP(&o.DryRun, "dry-run", "n", false, dryRunHelp)
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask before removing")
	o.Rules.Flags(cmd.Flags())
	o.flags(cmd)
	return cmd
}

func (o *SyncOptions) run(ctx context.Context, cmd *cobra.Command) error {
	takes, err := o.Rules.Compile()
	if err != nil {
		return err
	}
	src, dst, err := o.folders(cmd)
	if err != nil {
		return err
	}
	if o.Delete && !o.Yes && !o.DryRun && !o.Factory.IO.CanAsk() {
		return cli.Usage(cmd, "this could remove many files, and there is nobody to ask").WithHint("add --yes if that is what you want, or --dry-run to see")
	}
	progress := o.Factory.Progress()
	if o.DryRun {
		progress = o.Factory.IO.NewProgress(true)
	}
	report := o.Factory.NewReport("sync", "file", progress)
	mover, c, err := o.mover(o.Factory, progress, report)
	if err != nil {
		return err
	}
	copies := newCopier(o.Factory, c, progress, o.Parallel, o.Tries)
	return syncer.New(syncer.Job{
		Source: src, Target: dst, Takes: takes, Delete: o.Delete, Checksum: o.Checksum, DryRun: o.DryRun, Yes: o.Yes, Parallel: o.Parallel,
		Factory: o.Factory, Client: c, Mover: mover, Copier: copies, Progress: progress, Report: report,
	}).Run(ctx)
}

// folders reads both arguments.
func (o *SyncOptions) folders(cmd *cobra.Command) (src, dst compare.Folder, err error) {
	if src, dst, err = compare.ReadFolders(o.Source, o.Target); err != nil {
		return src, dst, err
	}
	switch {
	case src.Local() && dst.Local():
		return src, dst, cli.Usage(cmd, "one of source and target must be an s3:// address; rsync works between local folders")
	case compare.Within(src, dst):
		return src, dst, fault.Wrap(dst.String(), fault.New("conflict", "source and target lie in each other").WithHint("choose prefixes that have nothing in common"))
	}
	return src, dst, src.Exists()
}
