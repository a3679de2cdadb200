package object

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/problem"
)

// rmParallel is how many objects are removed concurrently.
const rmParallel = 16

// RmOptions are the options of rm.
type RmOptions struct {
	Factory *cli.Factory
	cli.Selection
	Yes    bool
	DryRun bool
}

// NewRm returns the command.
func NewRm(f *cli.Factory) *cobra.Command {
	o := &RmOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "rm s3://BUCKET/KEY...",
		Short: "Remove objects",
		Long: `Remove objects. With -r, remove everything under a prefix: "s3://b/logs" means "logs/…" and
never "logs-old". Before rm removes objects at several levels (-r, or a ** in a key), it shows
their number and size and asks; without a terminal it fails unless --yes is given.` + cli.WildcardHelp + cli.RulesHelp,
		Example: `  s3ctl rm s3://docs/old.txt 's3://docs/*.tmp'
  s3ctl rm -r --yes s3://docs/2019/
  s3ctl rm -r --dry-run --include '*.tmp' s3://docs`,
		Args: cli.List(&o.Addresses, 1),
		RunE: f.Run(o, o.run),
	}
	o.Flags(cmd, "remove")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	cli.DryRunFlag(cmd, &o.DryRun)
	return cmd
}

func (o *RmOptions) run(ctx context.Context, cmd *cobra.Command) error {
	search, err := o.Open(o.Factory, locate.Options{})
	if err != nil {
		return err
	}
	ask := !o.Yes && !o.DryRun && (o.Recursive || !o.Raw && slices.ContainsFunc(o.Addresses, func(a string) bool { return strings.Contains(a, "**") }))
	if ask && !o.Factory.IO.CanAsk() {
		return cli.Usage(cmd, "this would remove many objects, and there is no terminal to ask on").WithHint("add --yes to confirm")
	}
	report := o.Factory.NewReport("rm", "object")
	objects, bytes := search.Find(ctx, report)
	if o.DryRun {
		for _, object := range objects {
			report.Done(o.result(object))
		}
		return report.Close()
	}
	if ask && len(objects) > 0 {
		yes, err := o.Factory.IO.Confirm("Remove " + term.Count(len(objects), "object") + " (" + term.Size(bytes) + ")?")
		if err != nil || !yes {
			return fault.New(problem.Interrupted, "nothing was removed")
		}
	}
	report.Summing("")
	o.Factory.Progress().Plan(len(objects), 0)
	return cli.Each(ctx, report, rmParallel, objects, func(object locate.Object, _ *cli.Task) (cli.Result, error) {
		// The version that was looked up is deleted. If it does not exist any more, the object was removed or replaced meanwhile: that is a
		// success, and the newer version is kept.
		err := search.Client.DeleteFile(ctx, object.File.FileID)
		if fault.ExitOf(err) == fault.NotFound {
			err = nil
		}
		return o.result(object), err
	})
}

// removed is the --json line for an object that was removed.
type removed struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	FileID  string `json:"file_id"`
	Size    int64  `json:"size"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func (o *RmOptions) result(object locate.Object) cli.Result {
	at, did := object.Address, "removed "
	if o.DryRun {
		did = "would remove "
	}
	return cli.Result{
		JSON:  removed{Address: at.String(), Bucket: at.Bucket, Key: at.Key, FileID: object.File.FileID, Size: object.File.Size, DryRun: o.DryRun},
		Cells: []string{at.String()},
		Line:  did + at.String(),
		Size:  object.File.Size,
	}
}
