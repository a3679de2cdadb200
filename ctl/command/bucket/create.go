package bucket

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
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
		Args: cli.Args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Buckets = args
			if cmd.Flags().Changed("survive") {
				o.Survive = &survive
			}
			return f.Run(cmd, o, o.run)
		},
	}
	cmd.Flags().IntVar(&survive, "survive", 0, "node failures that new data must survive, 0 to 3 (default: the cluster's setting)")
	return cmd
}

func (o *CreateOptions) run(ctx context.Context, _ *cobra.Command) error {
	names, err := readNames(o.Buckets)
	if err != nil {
		return err
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("bucket create", "bucket", o.Factory.IO.NewProgress(true))
	for _, name := range names {
		b, err := c.CreateBucket(ctx, name, o.Survive)
		if err != nil {
			report.Fail(fault.Wrap("s3://"+name, err))
			continue
		}
		s := describe(b)
		report.Done(cli.Result{JSON: s, Cells: []string{s.Address}, Line: "created " + s.Address})
	}
	return report.Close()
}
