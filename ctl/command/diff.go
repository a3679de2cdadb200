package command

import (
	"cmp"
	"context"
	"fmt"
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
each name that is on one side only ("<" left, ">" right), differs ("!"), or cannot be
compared ("?"), such as what lies behind a link to a folder.
Where LEFT or RIGHT is a file here, the other one is a file, too: the object of exactly
that key, or the file of the same name in a folder, a bucket, or behind a prefix that
ends in "/".

Ends with 0 when all was compared and agrees, with 11 when there is a difference, and with
10 when there is none but something could not be compared.` + filter.Help,
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
	tally := diffTally{}
	pairs := compare.Pairs(ctx, left.Side(ctx, c, compare.Follow).Only(takes), right.Side(ctx, c, compare.Follow).Only(takes))
	for r := range inOrder(o.Parallel, pairs, func(p compare.Pair) diffed { return look(ctx, p) }) {
		if r.err != nil {
			report.Fail(r.err)
			continue
		}
		tally[r.line.Status]++
		report.Count()
		if r.line.Status != same && r.line.Status != excluded {
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
	return tally.conclude(report, what)
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
	a, b, err := compare.ReadFolders(left, right)
	for _, folder := range []compare.Folder{a, b} {
		if err == nil {
			err = folder.Exists()
		}
	}
	return a, b, "folders", err
}

// What diff finds out of a name.
const (
	same        = "same"
	excluded    = "excluded"
	onlyLeft    = "only_left"
	onlyRight   = "only_right"
	differs     = "differs"
	notCompared = "not_compared"
)

// difference is the line of --json for a name that is not known to be the same on both sides.
type difference struct {
	Status string    `json:"status"` // only_left, only_right, differs or not_compared
	Name   string    `json:"name"`
	By     string    `json:"by,omitempty"`  // size or checksum
	Why    string    `json:"why,omitempty"` // it could not be compared
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
	err  error
}

// look compares a pair; it reads local files only where the sizes agree.
func look(ctx context.Context, p compare.Pair) diffed {
	d := diffed{err: p.Trouble(), line: difference{Name: p.Name, Left: sideOf(&p.Left), Right: sideOf(&p.Right)}}
	switch why := p.Why(); {
	case d.err != nil:
	case why == compare.Excluded:
		d.line.Status = excluded
	case why != "":
		d.line.Status, d.line.Why = notCompared, why
	case p.Right.State == compare.Absent:
		d.line.Status = onlyLeft
	case p.Left.State == compare.Absent:
		d.line.Status = onlyRight
	case p.Left.Size != p.Right.Size:
		d.line.Status, d.line.By = differs, "size"
	default:
		d.sums(ctx, p)
	}
	return d
}

func (d *diffed) sums(ctx context.Context, p compare.Pair) {
	for i, e := range []*compare.Entry{&p.Left, &p.Right} {
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
	if e.State != compare.Present {
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
	sign := map[string]string{onlyLeft: "<", onlyRight: ">", differs: "!", notCompared: "?"}[d.Status]
	line, how := sign+" "+d.Name, cmp.Or(d.By, d.Why)
	if how != "" {
		line += "  (" + how + ")"
	}
	return o.Factory.Show(cli.Result{JSON: d, Cells: []string{sign, d.Name, how}, Line: line})
}

// diffTally counts names by what was found out of them.
type diffTally map[string]int

// conclude says what all names come to. That the sides agree is only said when all of them were compared.
func (t diffTally) conclude(report *cli.Report, what string) error {
	others := ""
	if t[notCompared] > 0 {
		others += fmt.Sprintf(", %d not compared", t[notCompared])
	}
	if t[excluded] > 0 {
		others += fmt.Sprintf(", %d excluded", t[excluded])
	}
	switch {
	case t[onlyLeft]+t[onlyRight]+t[differs] > 0:
		return fault.New("different", "the %s are not the same: %d only left, %d only right, %d differ, %d agree%s",
			what, t[onlyLeft], t[onlyRight], t[differs], t[same], others)
	case t[notCompared] > 0:
		return fault.New("partial", "no difference was found, but not all was compared: %d agree%s", t[same], others).
			WithHint("the lines with ? say why; s3ctl diff on the folder behind a link compares what is in it")
	}
	report.Note("diff: %s, and they agree%s", term.Count(t[same], "name"), others)
	return nil
}

// inOrder runs work on the items, several at once, and gives what it made of them in
// their order. No more are in progress, or wait to be taken, than parallel.
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
