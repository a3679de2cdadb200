package transfer

import (
	"cmp"
	"context"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
)

// DiffOptions are the options of diff.
type DiffOptions struct {
	Factory *cli.Factory

	Left, Right string
	Rules       address.Rules
	Parallel    int
}

// NewDiff returns the command.
func NewDiff(f *cli.Factory) *cobra.Command {
	o := &DiffOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "diff LEFT RIGHT",
		Short: "Compare two folders or files, local or remote",
		Long: `Compare the content of two folders, each of them local or an s3:// prefix, by size and
CRC64NVME checksum. Local files are read for this, objects are not: their checksums were
compared when they were stored (verify reads them again). There is one line for each name
that is on one side only ("<" left, ">" right), differs ("!"), or cannot be compared ("?"),
for example because it is below a link to a folder.

If LEFT or RIGHT is a local file, the other one is a file, too: the object of exactly that
key, or the file of the same name in a folder, a bucket, or under a prefix that ends in "/".

Ends with 0 if everything was compared and is equal, with 11 if there is a difference, and
with 10 if no difference was found but something could not be compared.` + cli.RulesHelp,
		Example: `  s3ctl diff photos s3://backup/photos
  s3ctl diff report.pdf s3://backup/2026/
  s3ctl diff --exclude '*.tmp' s3://www s3://www-next`,
		Args: cli.Words(&o.Left, &o.Right),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().IntVarP(&o.Parallel, "parallel", "j", transfer.DefaultParallel, "local files to read concurrently")
	cli.RulesFlags(cmd, &o.Rules)
	return cmd
}

func (o *DiffOptions) run(ctx context.Context, _ *cobra.Command) error {
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
	report := o.Factory.NewReport("diff", "name")
	counts := diffCounts{}
	pairs := compare.Pairs(ctx, left.Side(ctx, c, compare.Follow).Only(takes), right.Side(ctx, c, compare.Follow).Only(takes))
	for r := range inOrder(o.Parallel, pairs, func(p compare.Pair) diffed { return comparePair(ctx, p) }) {
		if r.err != nil {
			report.Fail(r.err)
			continue
		}
		counts[r.line.Status]++
		report.Count()
		if r.line.Status != same && r.line.Status != excluded {
			if err := o.show(r.line); err != nil {
				return err
			}
		}
	}
	if err := report.End(ctx); err != nil {
		return err
	}
	return counts.conclude(report, what)
}

// sider is a compare.Folder or a compare.File.
type sider interface {
	Side(ctx context.Context, l client.Lister, links compare.Links) compare.Side
}

// readSides parses both arguments: two files if one of them is a local file, otherwise two folders; what says which.
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

// The results of diff for a name.
const (
	same        = "same"
	excluded    = "excluded"
	onlyLeft    = "only_left"
	onlyRight   = "only_right"
	differs     = "differs"
	notCompared = "not_compared"
)

// difference is the --json line for a name that is not known to be equal on both sides.
type difference struct {
	Status string    `json:"status"` // only_left, only_right, differs or not_compared
	Name   string    `json:"name"`
	By     string    `json:"by,omitempty"`  // size or checksum
	Why    string    `json:"why,omitempty"` // why it could not be compared
	Left   *diffSide `json:"left,omitempty"`
	Right  *diffSide `json:"right,omitempty"`
}

type diffSide struct {
	Size   int64  `json:"size"`
	CRC    string `json:"crc64nvme,omitempty"`
	FileID string `json:"file_id,omitempty"`

	entry *compare.Entry
}

// diffed is the result of comparing a pair.
type diffed struct {
	line difference
	err  error
}

// comparePair compares a pair; it reads local files only if the sizes are equal.
func comparePair(ctx context.Context, p compare.Pair) diffed {
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
		for _, side := range []*diffSide{d.line.Left, d.line.Right} {
			sum, err := side.entry.Sum(ctx)
			if err != nil {
				return diffed{err: fault.Wrap(side.entry.At(), err)}
			}
			side.CRC = sum
		}
		d.line.Status = same
		if d.line.Left.CRC != d.line.Right.CRC {
			d.line.Status, d.line.By = differs, "checksum"
		}
	}
	return d
}

func sideOf(e *compare.Entry) *diffSide {
	if e.State != compare.Present {
		return nil
	}
	s := &diffSide{Size: e.Size, entry: e}
	if e.File != nil {
		s.FileID, s.CRC = e.File.FileID, e.File.Checksums.CRC64NVME
	}
	return s
}

func (o *DiffOptions) show(d difference) error {
	sign := map[string]string{onlyLeft: "<", onlyRight: ">", differs: "!", notCompared: "?"}[d.Status]
	line, how := sign+" "+d.Name, cmp.Or(d.By, d.Why)
	if how != "" {
		line += "  (" + how + ")"
	}
	return o.Factory.ShowSuccess(cli.Result{JSON: d, Cells: []string{sign, d.Name, how}, Line: line})
}

// diffCounts counts the names by result.
type diffCounts map[string]int

// conclude returns the overall result. The sides count as equal only if all names were compared.
func (t diffCounts) conclude(report *cli.Report, what string) error {
	others := ""
	if t[notCompared] > 0 {
		others += fmt.Sprintf(", %d not compared", t[notCompared])
	}
	if t[excluded] > 0 {
		others += fmt.Sprintf(", %d excluded", t[excluded])
	}
	switch {
	case t[onlyLeft]+t[onlyRight]+t[differs] > 0:
		return fault.New(problem.Different, "the %s are not the same: %d only left, %d only right, %d differ, %d are equal%s",
			what, t[onlyLeft], t[onlyRight], t[differs], t[same], others)
	case t[notCompared] > 0:
		return fault.New(problem.Partial, "no difference was found, but not everything was compared: %d are equal%s", t[same], others).
			WithHint("the lines with ? have the reason; to compare the folder that a link leads to, name that folder")
	}
	report.Note("diff: %s, all equal%s", term.Count(t[same], "name"), others)
	return nil
}

// inOrder runs work on the items concurrently and yields the results in the order of the items. At most parallel
// results are in progress or not yet consumed.
func inOrder[T, R any](parallel int, items iter.Seq[T], work func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		var queue []chan R
		wanted := true
		shift := func() {
			r := <-queue[0] // also if it is not wanted any more: no work outlives this call
			queue = queue[1:]
			wanted = wanted && yield(r)
		}
		for item := range items {
			if len(queue) >= max(parallel, 1) {
				shift()
			}
			if !wanted {
				break
			}
			one := make(chan R, 1)
			queue = append(queue, one)
			go func() { one <- work(item) }()
		}
		for len(queue) > 0 {
			shift()
		}
	}
}
