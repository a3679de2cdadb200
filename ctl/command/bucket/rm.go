package bucket

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
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
		Args:  cli.List(&o.Buckets, 1),
		RunE:  f.Run(o, o.run),
	}
}

// removed is the --json line for a bucket that was removed.
type removed struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
}

func (o *RmOptions) run(ctx context.Context, _ *cobra.Command) error {
	return each(ctx, o.Factory, "bucket rm", o.Buckets, func(c *client.Client, bucket address.Remote) (cli.Result, error) {
		where := bucket.String()
		err := c.DeleteBucket(ctx, bucket.Bucket)
		if e, ok := err.(*fault.Error); ok && e.Kind == problem.Conflict { //nolint:errorlint // the client returns it unwrapped
			e.Hint = "s3ctl rm -r " + where + "    removes its objects"
		}
		return cli.Result{JSON: removed{Address: where, Bucket: bucket.Bucket}, Cells: []string{where}, Line: "removed " + where}, err
	})
}
