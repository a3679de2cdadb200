package transfer

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/syncer"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
)

// SyncOptions are the options of sync.
type SyncOptions struct {
	Factory *cli.Factory

	Source, Target string
	Delete         bool
	Checksum       bool
	DryRun         bool
	Yes            bool
	FollowLinks    bool
	Rules          address.Rules
	ManagerOptions
}

// NewSync returns the command.
func NewSync(f *cli.Factory) *cobra.Command {
	o := &SyncOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "sync SOURCE TARGET",
		Short: "Make one folder equal to another, local or remote",
		Long: `Update a folder to match another: upload, download or copy what is new or has changed. At
least one of them is an s3:// prefix. Both mean the content of the folder, with or without a
slash at the end, and have no wildcards.

A file counts as unchanged if size and time are equal. put and sync store a file's
modification time with it; an object without one must not be older than the file it is
compared with. With --checksum, size and CRC64NVME are compared instead, for which local
files are read. Between two prefixes they are always compared.

With --delete, what only the target has is removed at the end, and only if everything before
succeeded; what is in the way of a new file is removed just before it. sync asks first;
without a terminal it fails unless --yes is given. A source without any file is refused, since
it may be a disk that is not mounted.

What sync cannot compare, it leaves unchanged on both sides, shows and counts: names that
--exclude skips, links to folders and everything below them, devices, unfinished downloads,
files that were removed meanwhile, and names that the other side cannot have. Links in a
local target are neither replaced nor followed. Empty folders, and objects that only stand
for a folder, are not synced with a local folder.` + cli.RulesHelp,
		Example: `  s3ctl sync photos s3://backup/photos
  s3ctl sync --delete --dry-run site s3://www
  s3ctl sync s3://www restored --exclude '*.tmp'`,
		Args: cli.Words(&o.Source, &o.Target),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().BoolVar(&o.Delete, "delete", false, "remove what the source does not have")
	cmd.Flags().BoolVarP(&o.Checksum, "checksum", "c", false, "compare checksums instead of times")
	cli.DryRunFlag(cmd, &o.DryRun)
	followFlag(cmd, &o.FollowLinks)
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask before removing")
	cli.RulesFlags(cmd, &o.Rules)
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
		return cli.Usage(cmd, "this could remove many files, and there is no terminal to ask on").WithHint("add --yes to confirm, or --dry-run to see what would be removed")
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("sync", "file")
	view := &syncView{Report: report, Progress: o.Factory.Progress(), f: o.Factory, manager: o.manager(report, c), question: "from " + dst.String() + " that " + src.String() + " does not have"}
	links := compare.Follow
	if o.FollowLinks {
		links = compare.FollowAll
	}
	counts, err := syncer.Job{
		Source: src, Target: dst, Takes: takes, Delete: o.Delete, Checksum: o.Checksum, Links: links, DryRun: o.DryRun, Yes: o.Yes, Parallel: o.Parallel,
		Client: c, View: view,
	}.Run(ctx)
	view.summary(counts, o.DryRun)
	return err
}

// folders parses both arguments.
func (o *SyncOptions) folders(cmd *cobra.Command) (src, dst compare.Folder, err error) {
	if src, dst, err = compare.ReadFolders(o.Source, o.Target); err != nil {
		return src, dst, err
	}
	switch {
	case src.Local() && dst.Local():
		return src, dst, cli.Usage(cmd, "source or target must be an s3:// address; between local folders use rsync")
	case compare.Within(src, dst):
		return src, dst, fault.Wrap(dst.String(), fault.New(problem.Conflict, "source and target overlap").WithHint("choose prefixes that do not contain each other"))
	}
	return src, dst, src.Exists()
}

// syncView shows a run of sync.
type syncView struct {
	*cli.Report
	*term.Progress
	f        *cli.Factory
	manager  *transfer.Manager
	question string // what it asks before it removes files
}

// Close is ambiguous between the report and the progress, and the report closes both.
func (v *syncView) Close() error { return v.Report.Close() }

// Start shows a transfer as one in progress.
func (v *syncView) Start(name string, bytes int64) (m *transfer.Manager, end func(error)) {
	task := v.Report.Start(name, bytes)
	return task.With(v.manager), task.Leave
}

// Changed shows a change.
func (v *syncView) Changed(c syncer.Change) { v.Done(changeResult(c)) }

// Confirm asks whether so many files may be removed.
func (v *syncView) Confirm(files int) bool {
	yes, err := false, error(nil)
	v.Above(func() {
		yes, err = v.f.IO.Confirm("Remove " + term.Count(files, "file") + " " + v.question + "?")
	})
	return yes && err == nil
}

func changeResult(c syncer.Change) cli.Result {
	would := ""
	if c.DryRun {
		would = "would "
	}
	text := would + c.Action + " " + c.Source + " -> " + c.Target + "  " + term.Size(c.Size) + "  (" + c.Reason + ")"
	if c.Source == "" {
		text = would + c.Action + " " + c.Target
	}
	return cli.Result{JSON: c, Cells: []string{c.Action, c.Source, c.Target, c.Reason, cli.Number(c.Size)}, Line: text}
}

// lastLine is the last --json line.
type lastLine struct {
	Summary syncer.Counts `json:"summary"`
}

func (v *syncView) summary(c syncer.Counts, dryRun bool) {
	if v.f.Global.JSON {
		_ = v.f.ShowJSON(lastLine{c}) // a broken stream has already failed an earlier line
		return
	}
	lead := "sync"
	if dryRun {
		lead = "sync (dry run)"
	}
	v.Note("%s: %s changed (%s), %d removed, %d unchanged%s, %d failed%s%s", lead, term.Count(int(c.Changed), "file"), term.Size(c.Bytes),
		c.Removed, c.Unchanged, assumed(c), c.Failed, uncompared(c), v.Took())
}

// assumed describes how many files were called unchanged without reading them.
func assumed(c syncer.Counts) string {
	switch c.Assumed {
	case 0:
		return ""
	case c.Unchanged:
		return " (by size and time alone)"
	}
	return fmt.Sprintf(" (%d by size and time alone)", c.Assumed)
}

// uncompared describes the names that were not compared, if any.
func uncompared(c syncer.Counts) (text string) {
	if c.Skipped > 0 {
		text += ", " + cli.Number(c.Skipped) + " skipped"
	}
	if c.Excluded > 0 {
		text += ", " + cli.Number(c.Excluded) + " excluded"
	}
	return text
}
