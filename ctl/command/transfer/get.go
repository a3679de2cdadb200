package transfer

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
)

// GetOptions are the options of get.
type GetOptions struct {
	Factory *cli.Factory
	cli.Selection
	Target string // "": the current folder
	DryRun bool
	ManagerOptions
}

// NewGet returns the command.
func NewGet(f *cli.Factory) *cobra.Command {
	o := &GetOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "get s3://BUCKET/KEY... [LOCAL]",
		Short: "Fetch objects",
		Long: `Fetch objects to local files. LOCAL is a file or a folder; it is a folder if it exists as
one, ends in a slash, or if there may be several objects. Without it, objects are written
to the current folder. "-" is standard output.

With -r, everything under a prefix is fetched: "s3://b/photos" keeps "photos" in the local
paths, "s3://b/photos/" does not. Keys are names, not paths: a key that cannot be a path
inside the folder ("../x", "a//b") is refused, and the others are fetched.

A file appears under its name only after it is complete and its checksum matches.

Large objects are fetched in concurrent ranges to ".NAME.part" beside the target. If that
is interrupted, run the same command again: what has arrived is not fetched again. An object that was replaced since is fetched from the beginning. Smaller
files are not synced to disk: a power cut may lose the local copy.` + cli.WildcardHelp + cli.RulesHelp,
		Example: `  s3ctl get s3://docs/2026/report.pdf
  s3ctl get 's3://photos/bergen/*.jpg' pictures/
  s3ctl get -r s3://www/ site
  s3ctl get s3://backup/shop.sql - | psql shop`,
		Args: o.read,
		RunE: f.Run(o, o.run),
	}
	o.Selection.Flags(cmd, "fetch")
	cli.DryRunFlag(cmd, &o.DryRun)
	o.flags(cmd)
	return cmd
}

// read parses the arguments: the last one is the target if it is local.
func (o *GetOptions) read(cmd *cobra.Command, args []string) error {
	if n := len(args); n > 0 && !address.IsRemote(args[n-1]) {
		o.Addresses, o.Target = args[:n-1], args[n-1]
		return nil
	}
	return cli.List(&o.Addresses, 1)(cmd, args)
}

func (o *GetOptions) run(ctx context.Context, cmd *cobra.Command) error {
	if len(o.Addresses) == 0 || !allRemote(o.Addresses) {
		return cli.Usage(cmd, "the sources of %s must be s3:// addresses here; only the last argument is local", cmd.Name())
	}
	search, err := o.Open(o.Factory, locate.Options{})
	if err != nil {
		return err
	}
	if address.IsStream(o.Target) && search.Many() {
		return cli.Usage(cmd, "%s writes one object to standard output; use s3ctl cat for several", cmd.Name())
	}
	progress := o.Factory.Progress()
	report := o.Factory.NewReport(cmd.Name(), "object")
	manager := o.manager(report, search.Client)
	// All are looked up before the first is fetched, so that the total is known. An object that two sources name is kept twice: it
	// would be the same local file.
	objects := slices.Collect(search.All(ctx, report))
	if o.DryRun {
		return o.foretell(objects, search.Many(), report)
	}
	report.Summing("")
	if search.Many() && len(objects) > 0 {
		return o.getMany(ctx, manager, report, progress, objects)
	}
	for _, object := range objects {
		progress.Plan(1, object.File.Size)
		task := report.Start(object.String(), object.File.Size)
		path, err := o.fetch(ctx, task.With(manager), object)
		task.End(err)
		switch {
		case err != nil:
		case path == "":
			report.Count() // standard output has the bytes only
		default:
			report.Done(movedResult(object.String(), path, object.Address, object.File))
		}
	}
	return report.Close()
}

// foretell shows where each object would be written.
func (o *GetOptions) foretell(objects []locate.Object, many bool, report *cli.Report) error {
	tell := func(object locate.Object, path string) {
		report.Done(would("get", object.String(), path, object.Address, object.File.Size))
	}
	if many {
		for _, j := range o.place(objects, report) {
			tell(j.Object, filepath.Join(o.folder(), j.path))
		}
		return report.Close()
	}
	for _, object := range objects {
		path, err := o.target(object)
		if err != nil {
			report.Fail(fault.Wrap(object.String(), err))
			continue
		}
		tell(object, path)
	}
	return report.Close()
}

func allRemote(args []string) bool {
	return !slices.ContainsFunc(args, func(a string) bool { return !address.IsRemote(a) })
}

// fetch fetches an object to the target and returns its path; "" means standard output.
func (o *GetOptions) fetch(ctx context.Context, manager *transfer.Manager, object locate.Object) (path string, err error) {
	if address.IsStream(o.Target) {
		return "", manager.GetStream(ctx, object.File, o.Factory.IO.Out)
	}
	if path, err = o.path(object); err != nil {
		return "", err
	}
	spot, err := localfile.Follow(path)
	switch {
	case err != nil:
		return "", err
	case o.isStdout(spot):
		return "", manager.GetStream(ctx, object.File, o.Factory.IO.Out)
	case spot.Stream:
		f, err := spot.Open()
		if err != nil {
			return "", err
		}
		return path, cmp.Or(manager.GetStream(ctx, object.File, f), f.Close())
	}
	root, err := os.OpenRoot(filepath.Dir(spot.Path))
	if err != nil {
		return "", err
	}
	defer root.Close()
	return path, manager.GetFile(ctx, object.File, root, filepath.Base(spot.Path))
}

// path returns the target of a single object, whose folder it creates if it is one.
func (o *GetOptions) path(object locate.Object) (string, error) {
	path, err := o.target(object)
	if err == nil && o.inside() {
		err = os.MkdirAll(o.folder(), 0o777)
	}
	return path, err
}

// inside reports whether LOCAL is a folder.
func (o *GetOptions) inside() bool {
	info, err := os.Stat(o.Target)
	return o.Target == "" || os.IsPathSeparator(o.Target[len(o.Target)-1]) || err == nil && info.IsDir()
}

// target returns the target of a single object: LOCAL itself, or the key's name in that folder.
func (o *GetOptions) target(object locate.Object) (string, error) {
	if !o.inside() {
		return o.Target, nil
	}
	name, err := address.Localize(address.Base(object.Address.Key))
	dir := o.folder()
	switch {
	case err != nil:
		return "", err
	case dir == ".":
		return name, nil
	case os.IsPathSeparator(dir[len(dir)-1]):
		return dir + name, nil
	}
	return dir + string(filepath.Separator) + name, nil // filepath.Join would shorten ".." as text; the system follows links first
}

// isStdout reports whether the target is standard output under any name. The file that it is redirected to must not be
// replaced.
func (o *GetOptions) isStdout(spot localfile.Spot) bool {
	out, ok := o.Factory.IO.Out.(*os.File)
	switch {
	case !ok:
		return false
	case spot.Stream && spot.FD >= 0:
		return spot.FD == int(out.Fd())
	}
	there, err := os.Stat(spot.Path)
	mine, failed := out.Stat()
	return err == nil && failed == nil && mine.Mode().IsRegular() && os.SameFile(there, mine)
}

// folder returns the target as a folder.
func (o *GetOptions) folder() string { return cmp.Or(o.Target, ".") }

// getMany fetches objects to paths below one folder, which none of them can leave.
func (o *GetOptions) getMany(ctx context.Context, manager *transfer.Manager, report *cli.Report, progress *term.Progress, objects []locate.Object) error {
	if err := os.MkdirAll(o.folder(), 0o777); err != nil {
		return fault.Wrap(o.folder(), err)
	}
	root, err := os.OpenRoot(o.folder())
	if err != nil {
		return fault.Wrap(o.folder(), err)
	}
	defer root.Close()
	jobs := o.place(objects, report)
	for _, j := range jobs {
		progress.Plan(1, j.File.Size)
	}
	return cli.Each(ctx, report, o.Parallel, jobs, func(j placed, task *cli.Task) (cli.Result, error) {
		result := movedResult(j.String(), filepath.Join(o.folder(), j.path), j.Address, j.File)
		if j.folder {
			return result, localfile.MkdirAll(root, j.path)
		}
		return result, task.With(manager).GetFile(ctx, j.File, root, j.path)
	})
}

// placed is an object and its path below the target folder.
type placed struct {
	locate.Object
	path   string
	folder bool // an empty object whose key ends in a slash, as some tools keep folders
}

// place determines the local paths and reports the keys that have none. Two objects may be the same folder, but not the same
// file.
func (o *GetOptions) place(objects []locate.Object, report *cli.Report) []placed {
	jobs := make([]placed, 0, len(objects))
	at := map[string]placed{}
	for _, object := range objects {
		path, folder, err := localPath(object)
		if other, taken := at[path]; err == nil && taken && (!folder || !other.folder) {
			err = fault.New(problem.Conflict, "it would be the same local file as %s", other.Address).WithHint("fetch them to different folders")
		}
		if err != nil {
			report.Fail(fault.Wrap(object.Address.String(), err))
			continue
		}
		at[path] = placed{Object: object, path: path, folder: folder}
		jobs = append(jobs, at[path])
	}
	return jobs
}

// localPath returns the path of an object below the target folder. "." is the target folder itself, for an object that stands
// for the requested folder. Invalid.
func localPath(object locate.Object) (path string, folder bool, err error) {
	rel := object.Rel
	if object.File.Size == 0 && strings.HasSuffix(object.Address.Key, "/") {
		if rel, folder = strings.TrimSuffix(rel, "/"), true; rel == "" {
			return ".", true, nil
		}
	}
	path, err = address.Localize(rel)
	return path, folder, err
}
