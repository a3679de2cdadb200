// Package bucket has the commands below `s3ctl bucket`, one file each.
package bucket

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// New returns the command with its subcommands.
func New(f *cli.Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bucket COMMAND",
		Short: "Create, list and remove buckets",
		Args:  cli.Args(0, -1),
		RunE:  cli.Noun,
	}
	cmd.AddCommand(NewCreate(f), NewLs(f), NewRm(f))
	return cmd
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

// readNames parses all names before anything is done.
func readNames(args []string) ([]string, error) {
	names := make([]string, len(args))
	for i, arg := range args {
		name, err := readName(strings.TrimSuffix(arg, "/"))
		if err != nil {
			return nil, err
		}
		names[i] = name
	}
	return names, nil
}

// shown is the --json line for a bucket.
type shown struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
	Survive *int   `json:"survive"` // null: the cluster's default
	Created string `json:"created_at"`
}

func describe(b rest.Bucket) shown {
	return shown{
		Address: address.Scheme + b.Name, Bucket: b.Name, Survive: b.Survive,
		Created: b.CreatedAt.UTC().Format("2006-01-02T15:04:05.999999999Z07:00"),
	}
}
