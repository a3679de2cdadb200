// Package transfer has the commands that transfer files, copy or rename objects, or compare both, one file each: put, get, cat,
// cp, mv, sync, diff and verify. As in all packages of commands, each has its options, a constructor that parses them from the
// command line, and a run method.
package transfer

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// PutOptions are the options of put.
type PutOptions struct {
	Factory *cli.Factory

	Sources     []string
	Destination string
	Recursive   bool
	ContentType string
	DryRun      bool
	FollowLinks bool
	Rules       address.Rules
	ManagerOptions
}

// NewPut returns the command.
func NewPut(f *cli.Factory) *cobra.Command {
	o := &PutOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "put FILE... s3://BUCKET[/KEY]",
		Short: "Store files",
		Long: `Store local files. An address that ends in a slash, or names only the bucket, keeps the
names of the files; any other is the key of a single file. With -r, folders are stored with
everything in them, under their relative paths as keys: "photos" keeps its own name in them,
"photos/" does not. The address has no wildcards.

"-" is standard input. An existing object is replaced atomically, once the new bytes are
durable and their checksum was compared.

Large files are sent in concurrent parts. If that is interrupted, by Ctrl-C, a crash or a
network failure, run the same command again: what is safe on the server is not sent again,
which is all but the last two seconds or 8 MiB. A file that has changed since is sent from
the beginning.` + cli.RulesHelp,
		Example: `  s3ctl put report.pdf s3://docs/2026/report.pdf
  s3ctl put *.jpg s3://photos/bergen/
  s3ctl put -r site/ s3://www --exclude '*.tmp'
  pg_dump shop | s3ctl put - s3://backup/shop.sql`,
		Args: cli.ListAndLast(&o.Sources, &o.Destination),
		RunE: f.Run(o, o.run),
	}
	cli.RecursiveFlag(cmd, &o.Recursive, "store folders with everything in them")
	contentTypeFlag(cmd, &o.ContentType)
	cli.DryRunFlag(cmd, &o.DryRun)
	followFlag(cmd, &o.FollowLinks)
	cli.RulesFlags(cmd, &o.Rules)
	o.flags(cmd)
	return cmd
}

// followFlag adds --follow-links.
func followFlag(cmd *cobra.Command, follow *bool) {
	cmd.Flags().BoolVar(follow, "follow-links", false, "also send what is below links to folders")
}

// contentTypeFlag adds --content-type.
func contentTypeFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "content-type", "", "content type to store; by default it is derived from the file's name")
}

func (o *PutOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if slices.ContainsFunc(o.Sources, address.IsRemote) {
		return cli.Usage(cmd, "the sources of %s must be local files here; only the last argument is an s3:// address", cmd.Name())
	}
	if !address.IsRemote(o.Destination) {
		return cli.Usage(cmd, "the last argument must be an s3:// address, but is %q", o.Destination)
	}
	// The API would parse the file as a form.
	if strings.HasPrefix(strings.ToLower(o.ContentType), "multipart/form-data") {
		return cli.Usage(cmd, "content type %q cannot be stored", o.ContentType)
	}
	dst, err := locate.ReadDestination(o.Destination, locate.Sources{Many: len(o.Sources) > 1, Recursive: o.Recursive, Linked: o.FollowLinks})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(o.Sources, address.IsStream) && (len(o.Sources) > 1 || dst.Folder) {
		return cli.Usage(cmd, "standard input has no name: store it alone, under a complete key: s3ctl put - s3://BUCKET/KEY")
	}
	takes, err := o.Rules.Compile()
	if err != nil {
		return err
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	progress := o.Factory.Progress()
	report := o.Factory.NewReport(cmd.Name(), "file")
	manager := o.manager(report, c)
	manager.ContentType = o.ContentType
	files := o.find(dst, takes, report, progress)
	if o.DryRun {
		for _, l := range files {
			at := address.Remote{Bucket: dst.Remote.Bucket, Key: l.Key}
			report.Done(would("put", l.Path, at.String(), at, l.Size))
		}
		return report.Close()
	}
	report.Summing("")
	return cli.Each(ctx, report, o.Parallel, files, func(l locate.Local, task *cli.Task) (cli.Result, error) {
		at := address.Remote{Bucket: dst.Remote.Bucket, Key: l.Key}
		f, err := o.send(ctx, task.With(manager), l, at)
		return movedResult(l.Path, at.String(), at, f), err
	})
}

// find resolves the arguments to files and keys. What cannot be sent is reported.
func (o *PutOptions) find(dst locate.Destination, takes address.Filter, report *cli.Report, progress *term.Progress) []locate.Local {
	var files []locate.Local
	sourceOf := map[string]string{}
	add := func(f locate.Local) {
		switch other, taken := sourceOf[f.Key]; {
		case f.Key != "" && !takes.Takes(dst.Rel(f)):
		case f.Err != nil:
			report.Fail(f.Err)
		case f.Skip != "":
			report.Skip("put %s: skipped: %s", f.Path, f.Skip)
		case taken:
			report.Fail(fault.Wrap(f.Path, fault.New(problem.Conflict, "it would get the same key as %s", other).
				WithHint("put them under different prefixes")))
		default:
			sourceOf[f.Key] = f.Path
			files = append(files, f)
			progress.Plan(1, f.Size)
		}
	}
	for _, source := range o.Sources {
		if address.IsStream(source) {
			add(locate.Local{Path: source, Key: dst.Remote.Key, Size: -1})
			continue
		}
		locate.Files(source, dst, add)
	}
	return files
}

func (o *PutOptions) send(ctx context.Context, manager *transfer.Manager, l locate.Local, dst address.Remote) (rest.File, error) {
	switch {
	case address.IsStream(l.Path):
		return manager.PutStream(ctx, o.Factory.IO.In, dst)
	case l.Size < 0:
		f, err := os.Open(l.Path)
		if err != nil {
			return rest.File{}, err
		}
		defer f.Close()
		return manager.PutStream(ctx, f, dst)
	}
	return manager.PutFile(ctx, l.Path, dst)
}
