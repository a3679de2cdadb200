// Package bucket has the commands below `s3ctl bucket`.
package bucket

import (
	"context"
	"strconv"
	"strings"

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
func (o *Options) each(ctx context.Context, cmd *cobra.Command, work func(*client.Client, address.Remote) (cli.Result, error)) error {
	buckets := make([]address.Remote, len(o.Buckets))
	for i, arg := range o.Buckets {
		name, err := readName(strings.TrimSuffix(arg, "/"))
		if err != nil {
			return err
		}
		buckets[i].Bucket = name
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	report := o.Factory.NewReport(cli.Name(cmd), "bucket")
	return cli.Each(ctx, report, 1, buckets, func(bucket address.Remote, _ *cli.Task) (cli.Result, error) { return work(c, bucket) })
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

// Options are the options of the commands.
type Options struct {
	Factory *cli.Factory

	Buckets []string
	Survive *int // of new buckets; nil: the cluster's default
}

// NewCreate returns the command.
func NewCreate(f *cli.Factory) *cobra.Command { return newCreate(f, "create", "bucket create") }

// NewMb returns the command, which is bucket create by the name that other tools have for it.
func NewMb(f *cli.Factory) *cobra.Command { return newCreate(f, "mb", "mb") }

func newCreate(f *cli.Factory, name, path string) *cobra.Command {
	o := &Options{Factory: f}
	survive := 0
	cmd := &cobra.Command{
		Use:     name + " s3://BUCKET...",
		Short:   "Create buckets",
		Example: "  s3ctl " + path + " s3://photos\n  s3ctl " + path + " --survive 1 s3://scratch",
		Args:    cli.List(&o.Buckets, 1),
		PreRun: func(cmd *cobra.Command, _ []string) {
			if cmd.Flags().Changed("survive") {
				o.Survive = &survive
			}
		},
		RunE: f.Run(o, o.create),
	}
	cmd.Flags().IntVar(&survive, "survive", 0, "node failures that new data must survive, 0 to 3 (default: the cluster's setting)")
	return cmd
}

func (o *Options) create(ctx context.Context, cmd *cobra.Command) error {
	return o.each(ctx, cmd, func(c *client.Client, bucket address.Remote) (cli.Result, error) {
		b, err := c.CreateBucket(ctx, bucket.Bucket, o.Survive)
		s := describe(b)
		return cli.Result{JSON: s, Cells: []string{s.Address}, Line: "created " + s.Address}, err
	})
}

// NewLs returns the command.
func NewLs(f *cli.Factory) *cobra.Command {
	o := &Options{Factory: f}
	return &cobra.Command{
		Use:   "ls",
		Short: "List buckets and their policies",
		Args:  cli.Words(),
		RunE:  f.Run(o, o.list),
	}
}

func (o *Options) list(ctx context.Context, _ *cobra.Command) error {
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	buckets, err := c.Buckets(ctx)
	if err != nil {
		return err
	}
	usual := -1
	if health, err := c.Once().Health(ctx); err == nil {
		usual = health.Survive.Wanted
	}
	rows := o.Factory.Rows(term.Column{Title: "BUCKET"}, term.Column{Title: "SURVIVES"}, term.Column{Title: "FILES", Right: true},
		term.Column{Title: "SIZE", Right: true}, term.Column{Title: "CREATED"})
	for _, b := range buckets {
		s := describe(b)
		if err := rows.Add(s, s.Address, survives(b, usual), cli.Number(b.Usage.Files), o.Factory.Size(b.Usage.Bytes), o.Factory.Moment(b.CreatedAt)); err != nil {
			return err
		}
	}
	return rows.Flush(nil)
}

// survives describes how many node failures new data of a bucket survives; usual is the cluster's setting, < 0 if it is unknown.
func survives(b rest.Bucket, usual int) string {
	switch {
	case b.Survive != nil:
		return strconv.Itoa(*b.Survive)
	case usual >= 0:
		return strconv.Itoa(usual) + " (default)"
	}
	return "default"
}

// NewRm returns the command.
func NewRm(f *cli.Factory) *cobra.Command { return newRm(f, "rm") }

// NewRb returns the command, which is bucket rm by the name that other tools have for it.
func NewRb(f *cli.Factory) *cobra.Command { return newRm(f, "rb") }

func newRm(f *cli.Factory, name string) *cobra.Command {
	o := &Options{Factory: f}
	return &cobra.Command{
		Use:   name + " s3://BUCKET...",
		Short: "Remove empty buckets",
		Args:  cli.List(&o.Buckets, 1),
		RunE:  f.Run(o, o.remove),
	}
}

// removed is the --json line for a bucket that was removed.
type removed struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
}

func (o *Options) remove(ctx context.Context, cmd *cobra.Command) error {
	return o.each(ctx, cmd, func(c *client.Client, bucket address.Remote) (cli.Result, error) {
		where := bucket.String()
		err := c.DeleteBucket(ctx, bucket.Bucket)
		if e, ok := err.(*fault.Error); ok && e.Kind == problem.Conflict { //nolint:errorlint // the client returns it unwrapped
			e.Hint = "s3ctl rm -r " + where + "    removes its objects"
		}
		return cli.Result{JSON: removed{Address: where, Bucket: bucket.Bucket}, Cells: []string{where}, Line: "removed " + where}, err
	})
}
