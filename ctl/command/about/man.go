package about

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/manual"
	"github.com/ringstore/ringstore/proto/problem"
)

// ManOptions are the options of man.
type ManOptions struct {
	Factory *cli.Factory

	Command  []string // the words after s3ctl
	Dir      string   // folder for all pages; "": write one page to standard output
	Markdown bool     // the whole manual as docs/s3ctl.md
}

// NewMan returns the command.
func NewMan(f *cli.Factory) *cobra.Command {
	o := &ManOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Write the manual as man pages",
		Long: `Write the man page of s3ctl, of one of its commands or of a help topic to standard
output. With --dir, write all of them to the subfolders man1 and man7 of that folder, which
are created if they do not exist, and list them. They have the same text as --help.`,
		Example: `  s3ctl man bucket create | man -l -
  s3ctl man --dir ~/.local/share/man`,
		Args: cli.List(&o.Command, 0),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().StringVar(&o.Dir, "dir", "", "write all pages to this folder of man pages")
	cmd.Flags().BoolVar(&o.Markdown, "markdown", false, "write the whole manual as one Markdown document")
	_ = cmd.Flags().MarkHidden("markdown") // fails only for an unknown flag
	return cmd
}

func (o *ManOptions) run(_ context.Context, cmd *cobra.Command) error {
	root := cmd.Root()
	switch {
	case o.Dir != "" && len(o.Command) > 0:
		return cli.Usage(cmd, "--dir writes all pages, and takes no command")
	case o.Markdown:
		_, err := io.WriteString(o.Factory.IO.Out, manual.Markdown(root))
		return err
	case o.Dir != "":
		return o.all(root)
	}
	path := strings.Join(append([]string{root.Name()}, o.Command...), " ")
	for _, page := range manual.Pages(root) {
		if page.CommandPath() == path {
			_, err := io.WriteString(o.Factory.IO.Out, manual.Man(page))
			return err
		}
	}
	return fault.New(problem.NotFound, "the command %q does not exist", strings.TrimPrefix(path, root.Name()+" ")).
		WithHint("%s --help    lists the commands", root.Name())
}

// page is the --json line for a man page that was written.
type page struct {
	Path string `json:"path"`
}

// all writes all pages and lists their paths.
func (o *ManOptions) all(root *cobra.Command) error {
	var written []string
	for _, p := range manual.Pages(root) {
		path := filepath.Join(o.Dir, filepath.FromSlash(manual.File(p)))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fault.Wrap(filepath.Dir(path), err)
		}
		if err := replace(path, manual.Man(p)); err != nil {
			return fault.Wrap(path, err)
		}
		written = append(written, path)
	}
	slices.Sort(written)
	for _, path := range written {
		if err := o.Factory.ShowSuccess(cli.Result{JSON: page{Path: path}, Cells: []string{path}, Line: path}); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file under a temporary name and renames it, so that a reader never sees a partial page.
func replace(path, text string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.WriteString(text)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
