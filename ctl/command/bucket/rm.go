package bucket

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// RmOptions are the options of bucket rm.
type RmOptions struct {
	Factory *cli.Factory

	Buckets []string
}

// NewRm returns the command.
func NewRm(f *cli.Factory) *cobra.Command {
	o := &RmOptions{Factory: f}
	return &cobra.Command{
		Use:   "rm s3://BUCKET...",
		Short: "Remove empty buckets",
		Args:  cli.Args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Buckets = args
			return f.Run(cmd, o, o.run)
		},
	}
}

// removed is the --json line for a bucket that was removed.
type removed struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
}

func (o *RmOptions) run(ctx context.Context, _ *cobra.Command) error {
	names, err := readNames(o.Buckets)
	if err != nil {
		return err
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("bucket rm", "bucket", o.Factory.IO.NewProgress(true))
	for _, name := range names {
		where := "s3://" + name
		err := c.DeleteBucket(ctx, name)
		if e, ok := err.(*fault.Error); ok && e.Kind == problem.Conflict { //nolint:errorlint // the client returns it unwrapped
			e.Hint = "s3ctl rm -r " + where + "    removes its objects"
		}
		if err != nil {
			report.Fail(fault.Wrap(where, err))
			continue
		}
		report.Done(cli.Result{JSON: removed{Address: where, Bucket: name}, Cells: []string{where}, Line: "removed " + where})
	}
	return report.Close()
}
