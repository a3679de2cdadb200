package bucket

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
)

// CreateOptions are the options of bucket create.
type CreateOptions struct {
	Factory *cli.Factory

	Buckets []string
	Survive *int // nil: the cluster's default
}

// NewCreate returns the command.
func NewCreate(f *cli.Factory) *cobra.Command {
	o := &CreateOptions{Factory: f}
	survive := 0
	cmd := &cobra.Command{
		Use:   "create s3://BUCKET...",
		Short: "Create buckets",
		Example: `  s3ctl bucket create s3://photos
  s3ctl bucket create --survive 1 s3://scratch`,
		Args: cli.List(&o.Buckets, 1),
		PreRun: func(cmd *cobra.Command, _ []string) {
			if cmd.Flags().Changed("survive") {
				o.Survive = &survive
			}
		},
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().IntVar(&survive, "survive", 0, "node failures that new data must survive, 0 to 3 (default: the cluster's setting)")
	return cmd
}

func (o *CreateOptions) run(ctx context.Context, _ *cobra.Command) error {
	return each(ctx, o.Factory, "bucket create", o.Buckets, func(c *client.Client, bucket address.Remote) (cli.Result, error) {
		b, err := c.CreateBucket(ctx, bucket.Bucket, o.Survive)
		s := describe(b)
		return cli.Result{JSON: s, Cells: []string{s.Address}, Line: "created " + s.Address}, err
	})
}
