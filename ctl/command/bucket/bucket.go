// Package bucket has the commands below `s3ctl bucket`, one file each.
package bucket

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// New returns the command with its subcommands.
func New(f *cli.Factory) *cobra.Command {
	return cli.Noun(&cobra.Command{Use: "bucket COMMAND", Short: "Create, list and remove buckets"}, NewCreate(f), NewLs(f), NewRm(f))
}

// readName parses s3://NAME or NAME. Invalid.
func readName(arg string) (string, error) {
	if !address.IsRemote(arg) {
		return arg, address.CheckBucket(arg)
	}
	remote, err := address.Parse(arg)
	if err == nil && remote.Key != "" {
		err = fault.New(problem.Invalid, "address %q is an object, not a bucket", arg).
			WithHint("the bucket is %s%s", address.Scheme, remote.Bucket)
	}
	return remote.Bucket, err
}

// each runs work on the buckets that the arguments name, after all were parsed, and reports the results.
func each(ctx context.Context, f *cli.Factory, command string, args []string, work func(*client.Client, address.Remote) (cli.Result, error)) error {
	buckets := make([]address.Remote, len(args))
	for i, arg := range args {
		name, err := readName(strings.TrimSuffix(arg, "/"))
		if err != nil {
			return err
		}
		buckets[i].Bucket = name
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	report := f.NewReport(command, "bucket", term.Silent())
	return cli.Each(ctx, report, 1, buckets, func(bucket address.Remote, _ func(error, time.Duration)) (cli.Result, error) { return work(c, bucket) })
}

// shown is the --json line for a bucket.
type shown struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
	Survive *int   `json:"survive"` // null: the cluster's default
	Created string `json:"created_at"`
}

func describe(b rest.Bucket) shown {
	return shown{Address: address.Scheme + b.Name, Bucket: b.Name, Survive: b.Survive, Created: cli.Time(b.CreatedAt)}
}
