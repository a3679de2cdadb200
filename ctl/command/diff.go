package command

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
)

// DiffOptions are those of diff.
type DiffOptions struct {
	Factory *cli.Factory

	Left, Right string
	Rules       filter.Rules
	Parallel    int
}

// NewDiff makes the command. runF, unless nil, runs instead of the real thing.
func NewDiff(f *cli.Factory, runF func(context.Context, *DiffOptions) error) *cobra.Command {
	o := &DiffOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "diff LEFT RIGHT",
		Short: "Compare two folders or files, here or there",
		Long: `Compare what lies in two folders, each of them local or behind an s3:// prefix, by
size and CRC64NVME checksum. Local files are read for it, objects are not: their
checksums were compared when they were stored (verify reads them again). One line for
each name that is on one side only ("<" left, ">" right) or differs ("!").
Where LEFT or RIGHT is a file here, the other one is a file, too: the object of exactly
that key, or the file of the same name in a folder, a bucket, or behind a prefix that
ends in "/".

Ends with 0 when there is no difference and with 11 when there is one.` + filter.Help,
		Example: `  s3ctl diff photos s3://backup/photos
  s3ctl diff report.pdf s3://backup/2026/
  s3ctl diff --exclude '*.tmp' s3://www s3://www-next`,
		Args: cli.Args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Left, o.Right = args[0], args[1]
			if runF != nil {
				return runF(cmd.Context(), o)
			}
			return cli.Classified(o.run(cmd.Context()))
		},
	}
	cmd.Flags().IntVarP(&o.Parallel, "parallel", "j", transfer.DefaultParallel, "local files to read at once")
	o.Rules.Flags(cmd.Flags())
	return cmd
}

func (o *DiffOptions) run(ctx context.Context) error {
	takes, err := o.Rules.Compile()
	if err != nil {
		return err
	}
	left, right, what, err := readSides(o.Left, o.Right)
	if err != nil {
		return err
	}
	c, err := o.Factory.Client()
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("diff", "name", o.Factory.IO.NewProgress(true))
	var tally diffTally
	pairs := taken(compare.Pairs(ctx, left.Side(ctx, c, compare.Follow), right.Side(ctx, c, compare.Follow)), takes)
	for r := range inOrder(o.Parallel, pairs, func(p compare.Pair) diffed { return look(ctx, p) }) {
		switch {
		case r.err != nil:
			report.Fail(r.err)
		case r.skip != "":
			report.Note("diff %s: passed over: %s", r.line.Name, r.skip)
		default:
			tally.add(r.line.Status)
			report.Count()
		}
		if r.err == nil && r.skip == "" && r.line.Status != same {
			if err := o.show(r.line); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		report.Fail(ctx.Err())
	}
	if err := report.Close(); err != nil {
		return err
	}
	if tally.all() > tally.same {
		return fault.New("different", "the %s are not the same: %d only left, %d only right, %d differ, %d agree", what, tally.left, tally.right, tally.differ, tally.same)
	}
	report.Note("diff: %s, and they agree", term.Count(tally.same, "name"))
	return nil
}

// sider is a folder or a file.
type sider interface {
	Side(ctx context.Context, l locate.Lister, links compare.Links) compare.Side
}

// readSides reads both arguments: two folders, or two files where one of them is a file here. It says which.
func readSides(left, right string) (l, r sider, what string, err error) {
	if l, r, ok, err := compare.ReadFiles(left, right); ok || err != nil {
		return l, r, "files", err
	}
	folders, err := readFolders(left, right)
	if err != nil {
		return nil, nil, "", err
	}
	return folders[0], folders[1], "folders", nil
}

// readFolders reads both arguments, and makes sure that local folders are there.
func readFolders(args ...string) ([]compare.Folder, error) {
	folders := make([]compare.Folder, len(args))
	for i, arg := range args {
		f, err := compare.ReadFolder(arg)
		if err == nil {
			err = f.Exists()
		}
		if err != nil {
			return nil, err
		}
		folders[i] = f
	}
	return folders, nil
}

// taken are the pairs that the rules take, and those that tell of more than their name.
func taken(pairs iter.Seq[compare.Pair], takes filter.Filter) iter.Seq[compare.Pair] {
	return func(yield func(compare.Pair) bool) {
		for p := range pairs {
			if (p.Whole() || takes.Takes(p.Name)) && !yield(p) {
				return
			}
		}
	}
}

// What diff finds out of a name.
const (
	same      = "same"
	onlyLeft  = "only_left"
	onlyRight = "only_right"
	differs   = "differs"
)

// difference is the line of --json for a name that is not the same on both sides.
type difference struct {
	Status string    `json:"status"` // only_left, only_right or differs
	Name   string    `json:"name"`
	By     string    `json:"by,omitempty"` // size or checksum
	Left   *diffSide `json:"left,omitempty"`
	Right  *diffSide `json:"right,omitempty"`
}

type diffSide struct {
	Size   int64  `json:"size"`
	CRC    string `json:"crc64nvme,omitempty"`
	FileID string `json:"file_id,omitempty"`
}

// diffed is what became of a pair.
type diffed struct {
	line difference
	skip string
	err  error
}

// look compares a pair; it reads local files only where the sizes agree.
func look(ctx context.Context, p compare.Pair) diffed {
	d := diffed{err: p.Trouble(), skip: p.Skip(), line: difference{Name: p.Name, Left: sideOf(p.Left), Right: sideOf(p.Right)}}
	switch {
	case d.err != nil || d.skip != "":
	case p.Right == nil:
		d.line.Status = onlyLeft
	case p.Left == nil:
		d.line.Status = onlyRight
	case p.Left.Size != p.Right.Size:
		d.line.Status, d.line.By = differs, "size"
	default:
		d.sums(ctx, p)
	}
	return d
}

func (d *diffed) sums(ctx context.Context, p compare.Pair) {
	for i, e := range []*compare.Entry{p.Left, p.Right} {
		sum, err := e.Sum(ctx)
		if err != nil {
			d.err = fault.Wrap(e.At(), err)
			return
		}
		[]*diffSide{d.line.Left, d.line.Right}[i].CRC = sum
	}
	d.line.Status = same
	if d.line.Left.CRC != d.line.Right.CRC {
		d.line.Status, d.line.By = differs, "checksum"
	}
}

func sideOf(e *compare.Entry) *diffSide {
	if e == nil {
		return nil
	}
	s := &diffSide{Size: e.Size}
	if e.File != nil {
		s.FileID, s.CRC = e.File.FileID, e.File.Checksums.CRC64NVME
	}
	return s
}

func (o *DiffOptions) show(d difference) error {
	if o.Factory.Global.Quiet && !o.Factory.Global.JSON {
		return nil
	}
	sign := map[string]string{onlyLeft: "<", onlyRight: ">", differs: "!"}[d.Status]
	line := sign + " " + d.Name
	if d.By != "" {
		line += "  (" + d.By + ")"
	}
	return o.Factory.Show(cli.Result{JSON: d, Cells: []string{sign, d.Name, d.By}, Line: line})
}

// diffTally counts names by what was found out of them.
type diffTally struct{ same, left, right, differ int }

func (t *diffTally) add(status string) {
	switch status {
	case onlyLeft:
		t.left++
	case onlyRight:
		t.right++
	case differs:
		t.differ++
	default:
		t.same++
	}
}

func (t *diffTally) all() int { return t.same + t.left + t.right + t.differ }

// inOrder runs work on the items, several at once, and gives what it made of them in
// their order. No more are under way, or wait to be taken, than parallel.
func inOrder[T, R any](parallel int, items iter.Seq[T], work func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		queue := make([]chan R, 0, max(parallel, 1))
		defer func() {
			for _, one := range queue {
				<-one
			}
		}()
		shift := func() bool {
			r := <-queue[0]
			queue = queue[1:]
			return yield(r)
		}
		for item := range items {
			if len(queue) >= max(parallel, 1) && !shift() {
				return
			}
			one := make(chan R, 1)
			queue = append(queue, one)
			go func() { one <- work(item) }()
		}
		for len(queue) > 0 {
			if !shift() {
				return
			}
		}
	}
}
