package object

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
)

// DuOptions are the options of du.
type DuOptions struct {
	Factory *cli.Factory
	cli.Selection
	Depth int
}

// NewDu returns the command.
func NewDu(f *cli.Factory) *cobra.Command {
	o := &DuOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "du s3://BUCKET[/PREFIX]...",
		Short: "Sum up sizes by prefix",
		Long: `Sum up the number and size of the objects under a prefix: one line for each folder
directly below it, and one for the total at the end. --depth shows more levels, or with 0
the total only. Sizes are those of the objects; the space on the nodes, with all copies
and parity, depends on how many failures their bucket survives: s3ctl stat.` + cli.WildcardHelp + cli.RulesHelp,
		Example: `  s3ctl du s3://photos
  s3ctl du --depth 0 --include '*.jpg' s3://photos s3://backup
  s3ctl du --depth 3 s3://logs/2026`,
		Args: cli.List(&o.Addresses, 1),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().IntVarP(&o.Depth, "depth", "d", 1, "show folders down to this depth")
	o.RawFlag(cmd)
	cli.RulesFlags(cmd, &o.Rules)
	return cmd
}

func (o *DuOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if o.Depth < 0 {
		return cli.Usage(cmd, "--depth must be 0 or more")
	}
	search, err := o.Open(o.Factory, locate.Options{Recursive: true, MayLack: true})
	if err != nil {
		return err
	}
	rows := o.Factory.Rows(term.Column{Title: "SIZE", Right: true}, term.Column{Title: "OBJECTS", Right: true}, term.Column{Title: "ADDRESS"})
	for _, t := range search.Targets {
		if err = o.sum(ctx, search, t, rows); err != nil {
			break
		}
	}
	return rows.Flush(err)
}

// sum shows one target. Keys arrive in order, so a folder is complete at the first key that is not in it, and only as many
// folders as the depth are kept in memory.
func (o *DuOptions) sum(ctx context.Context, search *cli.Search, t locate.Target, rows *cli.Rows) error {
	whole := usage{Address: t.Arg, Bucket: t.Remote.Bucket, Prefix: t.Base()}
	if !t.Wild {
		whole.Address = address.Remote{Bucket: whole.Bucket, Key: whole.Prefix}.String()
	}
	open := []usage{whole}
	for object, err := range search.In(ctx, t) {
		if err != nil {
			return err
		}
		for last := len(open) - 1; last > 0 && !strings.HasPrefix(object.File.Name, open[last].Prefix); last-- {
			if err := o.show(rows, open[last]); err != nil {
				return err
			}
			open = open[:last]
		}
		open = o.enter(open, object.File.Name)
		for i := range open {
			open[i].Objects++
			open[i].Size += object.File.Size
		}
	}
	for i := len(open) - 1; i >= 0; i-- {
		if err := o.show(rows, open[i]); err != nil {
			return err
		}
	}
	return nil
}

// enter appends the folders of a key that are not open yet.
func (o *DuOptions) enter(open []usage, key string) []usage {
	for len(open) <= o.Depth {
		last := open[len(open)-1]
		name, _, deeper := strings.Cut(key[len(last.Prefix):], "/")
		if !deeper {
			break
		}
		folder := usage{Bucket: last.Bucket, Prefix: last.Prefix + name + "/"}
		folder.Address = address.Remote{Bucket: folder.Bucket, Key: folder.Prefix}.String()
		open = append(open, folder)
	}
	return open
}

// usage is the --json line for a folder.
type usage struct {
	Address string `json:"address"`
	Bucket  string `json:"bucket"`
	Prefix  string `json:"prefix"`
	Objects int    `json:"objects"`
	Size    int64  `json:"size"`
}

func (o *DuOptions) show(rows *cli.Rows, u usage) error {
	return rows.Add(u, o.Factory.Size(u.Size), cli.Number(int64(u.Objects)), u.Address)
}
