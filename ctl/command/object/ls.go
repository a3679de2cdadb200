// Package object has the commands that show, find or remove objects, one file each: ls, stat, du, find, tree and rm. They transfer no
// file bytes.
package object

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/rest"
)

// LsOptions are the options of ls.
type LsOptions struct {
	Factory       *cli.Factory
	cli.Selection // without addresses: list the buckets
	Format
	Total bool
}

// NewLs returns the command.
func NewLs(f *cli.Factory) *cobra.Command {
	o := &LsOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "ls [s3://BUCKET[/PREFIX]...]",
		Short: "List buckets and objects",
		Long: `List the objects of a bucket in byte order of the keys: on a terminal with size, date
and the name below the prefix, in a pipe as addresses for other commands. The prefix
is the beginning of keys, not a folder: "s3://b/ph" lists both "photo.jpg" and
"photos/". Keys with a further slash are shown as one line for their folder, unless
-r is given. Without an address, list the buckets.

An empty bucket or prefix lists nothing and is not an error.` + cli.WildcardHelp,
		Example: `  s3ctl ls
  s3ctl ls s3://photos/2026/
  s3ctl ls -r --total s3://photos
  s3ctl ls 's3://photos/**.jpg'
  s3ctl ls -r -0 s3://photos | xargs -0 -n 1 s3ctl stat --raw`,
		Args: cli.List(&o.Addresses, 0),
		RunE: f.Run(o, o.run),
	}
	cli.RecursiveFlag(cmd, &o.Recursive, "list everything under the prefix")
	o.Format.flags(cmd)
	cmd.Flags().BoolVar(&o.Total, "total", false, "show the number and size of the listed objects at the end")
	o.RawFlag(cmd)
	return cmd
}

func (o *LsOptions) run(ctx context.Context, _ *cobra.Command) error {
	search, err := o.Open(o.Factory, locate.Options{})
	if err != nil {
		return err
	}
	list := newListing(o.Factory, search, o.Format)
	if len(search.Targets) == 0 {
		err = o.buckets(ctx, search.Client, list)
	}
	for _, t := range search.Targets {
		if err == nil {
			err = o.objects(ctx, search.Client, t, list)
		}
	}
	err = list.rows.Flush(err)
	if err == nil && o.Total {
		err = list.total()
	}
	return err
}

func (o *LsOptions) buckets(ctx context.Context, c *client.Client, list *listing) error {
	buckets, err := c.Buckets(ctx)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		line := listed{Type: "bucket", Address: address.Remote{Bucket: b.Name}.String(), Bucket: b.Name, Created: cli.Time(b.CreatedAt)}
		if err := list.add(line, nil, b.CreatedAt); err != nil {
			return err
		}
	}
	return nil
}

func (o *LsOptions) objects(ctx context.Context, c *client.Client, t locate.Target, list *listing) error {
	for e, err := range t.Entries(ctx, c) {
		if err != nil {
			return err
		}
		if e.File == nil {
			err = list.add(prefixLine(t.Remote.Bucket, e.Name), nil, time.Time{})
		} else {
			err = list.object(*e.File)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listed is the --json line for an entry.
type listed struct {
	Type        string `json:"type"` // bucket, prefix or object
	Address     string `json:"address"`
	Bucket      string `json:"bucket"`
	Prefix      string `json:"prefix,omitempty"`
	Key         string `json:"key,omitempty"`
	Size        *int64 `json:"size,omitempty"`
	FileID      string `json:"file_id,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	ETag        string `json:"etag,omitempty"`
	CRC         string `json:"crc64nvme,omitempty"`
	SHA256      string `json:"sha256,omitempty"`
	Created     string `json:"created_at,omitempty"`
}

// Format is the format of a listing.
type Format struct {
	Long   bool
	Human  bool // implies Long
	Print0 bool
}

// flags adds the flags for the format.
func (o *Format) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.Long, "long", "l", false, "show sizes in bytes, times and whole addresses")
	cmd.Flags().BoolVar(&o.Human, "human", false, "show sizes as 1.5 GiB; implies -l")
	cmd.Flags().BoolVarP(&o.Print0, "print0", "0", false, "only addresses, unchanged, each with a NUL byte behind it")
}

// listing writes entries in the requested format, for ls and find.
type listing struct {
	f *cli.Factory
	Format
	below string // what addresses are shown without on a terminal
	rows  *cli.Rows

	count int // of objects
	bytes int64
}

func newListing(f *cli.Factory, search *cli.Search, format Format) *listing {
	format.Long = format.Long || format.Human
	l := &listing{f: f, Format: format}
	if len(search.Targets) == 1 {
		l.below = search.Targets[0].Beginning()
	}
	switch {
	case l.Long:
		l.rows = f.Rows(term.Column{Title: "SIZE", Right: true}, term.Column{Title: "CREATED"}, term.Column{Title: "ADDRESS"})
	case l.pretty():
		l.rows = f.Rows(term.Column{Title: "SIZE", Right: true}, term.Column{Title: "CREATED"}, term.Column{Title: "NAME"})
	default:
		l.rows = f.Rows(term.Column{Title: "ADDRESS"})
	}
	return l
}

// pretty reports whether the listing is for a person and not for a program.
func (l *listing) pretty() bool { return l.f.IO.OutTTY && !l.Long && !l.Print0 }

func prefixLine(bucket, prefix string) listed {
	return listed{Type: "prefix", Address: address.Remote{Bucket: bucket, Key: prefix}.String(), Bucket: bucket, Prefix: prefix}
}

func (l *listing) object(f rest.File) error {
	l.count++
	l.bytes += f.Size
	return l.add(objectLine(f), &f.Size, f.CreatedAt)
}

func objectLine(f rest.File) listed {
	return listed{
		Type: "object", Address: address.Remote{Bucket: f.Bucket, Key: f.Name}.String(), Bucket: f.Bucket, Key: f.Name,
		Size: &f.Size, FileID: f.FileID, ContentType: f.ContentType, ETag: f.ETag,
		CRC: f.Checksums.CRC64NVME, SHA256: f.Checksums.SHA256, Created: cli.Time(f.CreatedAt),
	}
}

func (l *listing) add(line listed, size *int64, at time.Time) error {
	switch {
	case l.Print0 && !l.f.Global.JSON:
		_, err := l.f.IO.Out.Write(append([]byte(line.Address), 0))
		return err
	case l.pretty():
		return l.rows.Add(line, l.size(size), l.time(at), cmp.Or(strings.TrimPrefix(line.Address, l.below), line.Address))
	case l.Long:
		return l.rows.Add(line, l.size(size), l.time(at), line.Address)
	}
	return l.rows.Add(line, line.Address)
}

func (l *listing) size(n *int64) string {
	switch {
	case n == nil:
		return "-"
	case l.Human || l.pretty():
		return term.Size(*n)
	}
	return cli.Number(*n)
}

func (l *listing) time(at time.Time) string {
	switch {
	case at.IsZero():
		return "-"
	}
	return l.f.Moment(at)
}

// total writes the sum of what was listed; without --json to standard error, so that standard output has addresses only.
func (l *listing) total() error {
	if l.f.Global.JSON {
		return l.f.ShowJSON(total{Type: "total", Objects: l.count, Size: l.bytes})
	}
	_, err := fmt.Fprintf(l.f.IO.Err, "%s, %s\n", term.Count(l.count, "object"), term.Size(l.bytes))
	return err
}

// total is the last --json line with --total.
type total struct {
	Type    string `json:"type"`
	Objects int    `json:"objects"`
	Size    int64  `json:"size"`
}
