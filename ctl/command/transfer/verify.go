package transfer

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/ctl/term"
)

// VerifyOptions are the options of verify.
type VerifyOptions struct {
	Factory *cli.Factory
	cli.Selection
	ManagerOptions
}

// NewVerify returns the command.
func NewVerify(f *cli.Factory) *cobra.Command {
	o := &VerifyOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "verify s3://BUCKET/KEY...",
		Short: "Read objects again and compare their checksums",
		Long: `Read every byte of objects, as get would, without storing them, and compare size and
CRC64NVME with those that were acknowledged when they were stored. Bytes that a gateway has
to reconstruct from parity count as good, and are reported for repair. To compare with local
files, use diff.

Ends with 9 if the bytes of an object are not those that were stored.` + cli.WildcardHelp + cli.RulesHelp,
		Example: `  s3ctl verify s3://backup/shop.sql
  s3ctl verify -r s3://photos`,
		Args: cli.List(&o.Addresses, 1),
		RunE: f.Run(o, o.run),
	}
	o.Selection.Flags(cmd, "verify")
	o.flags(cmd)
	return cmd
}

func (o *VerifyOptions) run(ctx context.Context, _ *cobra.Command) error {
	search, err := o.Open(o.Factory, locate.Options{})
	if err != nil {
		return err
	}
	progress := o.Factory.Progress()
	report := o.Factory.NewReport("verify", "object").Summing("good")
	manager := o.manager(report, search.Client)
	objects, bytes := search.Find(ctx, report)
	progress.Plan(len(objects), bytes)
	return cli.Each(ctx, report, o.Parallel, objects, func(object locate.Object, task *cli.Task) (cli.Result, error) {
		// It is retried as a whole, since the bytes are not written anywhere.
		once := task.With(manager)
		policy := once.Retry
		once.Retry = retry.Policy{}
		err := policy.Do(ctx, func() error { return once.GetStream(ctx, object.File, io.Discard) })
		name, f := object.String(), object.File
		return cli.Result{
			JSON:  verified{Address: name, Bucket: f.Bucket, Key: f.Name, FileID: f.FileID, Size: f.Size, CRC: f.Checksums.CRC64NVME},
			Cells: []string{name, cli.Number(f.Size), f.Checksums.CRC64NVME},
			Line:  "good " + name + "  " + term.Size(f.Size),
			Size:  f.Size,
		}, err
	})
}

// verified is the --json line for an object that was read completely and has the right checksum.
type verified struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	FileID  string `json:"file_id"`
	Size    int64  `json:"size"`
	CRC     string `json:"crc64nvme"`
}
