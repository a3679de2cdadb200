package object

import (
	"bufio"
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
)

// TreeOptions are the options of tree.
type TreeOptions struct {
	Factory *cli.Factory

	Address string
	Depth   int // 0: no limit
	Sizes   bool
}

// NewTree returns the command.
func NewTree(f *cli.Factory) *cobra.Command {
	o := &TreeOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "tree s3://BUCKET[/PREFIX]",
		Short: "Show everything under a prefix as a tree",
		Long: `Show the folders and objects under a prefix as a tree, in byte order of the keys. The
address has no wildcards. Each folder takes one request; levels below --depth take none.`,
		Example: `  s3ctl tree s3://photos
  s3ctl tree --depth 2 --sizes s3://backup/2026`,
		Args: cli.Words(&o.Address),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().IntVarP(&o.Depth, "depth", "d", 0, "number of levels to show; 0 means all")
	cmd.Flags().BoolVarP(&o.Sizes, "sizes", "s", false, "show the sizes of objects")
	return cmd
}

func (o *TreeOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if o.Depth < 0 {
		return cli.Usage(cmd, "--depth must be 0 or more")
	}
	t, err := locate.ReadTarget(o.Address, locate.Options{Raw: true})
	if err != nil {
		return err
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	d := &drawing{o: o, c: c, bucket: t.Remote.Bucket, out: bufio.NewWriter(o.Factory.IO.Out)}
	root := address.Remote{Bucket: d.bucket, Key: t.Base()}
	if !o.Factory.Global.JSON {
		d.line("", root.String())
	}
	err = d.folder(ctx, root.Key, "", 1)
	if err == nil && !o.Factory.Global.JSON {
		d.line("", "")
		d.line("", term.Count(d.folders, "folder")+", "+term.Count(d.objects, "object")+", "+term.Size(d.bytes))
	}
	return cmp.Or(err, d.out.Flush())
}

// drawing writes a tree and counts what was written.
type drawing struct {
	o      *TreeOptions
	c      *client.Client
	bucket string
	out    *bufio.Writer

	folders, objects int
	bytes            int64
}

// folder writes the content of a folder; indent precedes each of its lines.
func (d *drawing) folder(ctx context.Context, prefix, indent string, depth int) error {
	var held *client.Entry // an entry is drawn differently if it is the last
	for e, err := range d.c.List(ctx, client.Query{Bucket: d.bucket, Prefix: prefix, Delimiter: "/"}) {
		if err != nil {
			return err
		}
		if e.Name == prefix {
			continue // the object that stands for the folder itself
		}
		if held != nil {
			if err := d.entry(ctx, *held, prefix, indent, depth, false); err != nil {
				return err
			}
		}
		held = &e
	}
	if held == nil {
		return nil
	}
	return d.entry(ctx, *held, prefix, indent, depth, true)
}

func (d *drawing) entry(ctx context.Context, e client.Entry, prefix, indent string, depth int, last bool) error {
	branch, under := "├── ", "│   "
	if last {
		branch, under = "└── ", "    "
	}
	text := e.Name[len(prefix):]
	if e.File != nil {
		d.objects++
		d.bytes += e.File.Size
		if d.o.Sizes {
			text += "  " + term.Size(e.File.Size)
		}
	} else {
		d.folders++
	}
	if err := d.show(e, indent+branch, text, depth); err != nil {
		return err
	}
	if e.File != nil || depth == d.o.Depth {
		return nil
	}
	return d.folder(ctx, e.Name, indent+under, depth+1)
}

// leaf is the --json line for a folder or an object: that of ls, and its depth.
type leaf struct {
	listed
	Depth int `json:"depth"`
}

func (d *drawing) show(e client.Entry, lead, text string, depth int) error {
	if !d.o.Factory.Global.JSON {
		d.line(lead, text)
		return nil
	}
	l := leaf{Depth: depth, listed: prefixLine(d.bucket, e.Name)}
	if e.File != nil {
		l.listed = objectLine(*e.File)
	}
	return d.o.Factory.ShowJSON(l)
}

// line writes a line. An error is returned by the final Flush.
func (d *drawing) line(lead, text string) { _, _ = d.out.WriteString(lead + term.Clean(text) + "\n") }
