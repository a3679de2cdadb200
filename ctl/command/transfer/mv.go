package transfer

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/command/lookup"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

// mvParallel is how many objects are renamed concurrently.
const mvParallel = 16

// MvOptions are the options of mv.
type MvOptions struct {
	Factory *cli.Factory

	Sources   []string
	Target    string
	Recursive bool
	Raw       bool
	DryRun    bool
	Rules     filter.Rules
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
"s3://b/photos" keeps "photos" in the keys, "s3://b/photos/" does not.` + lookup.WildcardHelp + filter.Help,
		Example: `  s3ctl mv s3://docs/draft.txt s3://docs/2026/report.txt
  s3ctl mv 's3://inbox/*.pdf' s3://docs/
  s3ctl mv -r s3://www/old/ s3://www/new`,
		Args: cli.ListAndLast(&o.Sources, &o.Target),
		RunE: f.Run(o, o.run),
	}
	lookup.Flags(cmd, "rename", &o.Recursive, &o.Raw, &o.Rules)
	cli.DryRunFlag(cmd, &o.DryRun)
	return cmd
}

func (o *MvOptions) run(ctx context.Context, cmd *cobra.Command) error {
	targets, dst, err := readPairArgs(cmd, o.Sources, o.Target, locate.Options{Recursive: o.Recursive, Raw: o.Raw})
	if err != nil {
		return err
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("mv", "object", term.Silent())
	pairs, err := pairUp(ctx, c, targets, dst, o.Rules, report)
	if err != nil {
		return err
	}
	if o.DryRun {
		return dryRun(report, pairs, "rename")
	}
	return cli.Each(ctx, report, mvParallel, pairs, func(p pair, retrying func(error, time.Duration)) (cli.Result, error) {
		retry := o.Factory.Retry()
		retry.Notify = retrying
		// It is retried, since renaming a file to its present name does nothing.
		f, err := transfer.Try(ctx, retry, func() (rest.File, error) { return c.Rename(ctx, p.File.FileID, p.dst.Bucket, p.dst.Key) })
		return p.result(f), err
	})
}
