// Package syncer makes one folder like another, of which one at least is behind a
// prefix: it compares them and puts, gets or copies what differs, and at the end removes
// what only the target has.
//
// What it works by:
//
//   - Nothing is removed that the source was not seen to lack, and nothing is written where it is not known what the target has:
//     what compare calls Unknown stays as it is, is shown and is counted.
//   - A dry run is the run, up to the last step: all that is decided, looked up and refused is so in both, and only what would change
//     a byte is left out. There is no second way to find out what would be done.
//   - Each name is decided from what was listed and from what stands in its place, in the order of the names; what happens at the same
//     time does not change what is decided.
package syncer

import (
	"context"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/copier"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/filter"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
)

// removing is how many files are removed at once.
const removing = 16

// Job is what is to be done, and with what.
type Job struct {
	Source, Target compare.Folder
	Takes          filter.Filter
	Delete         bool // remove what the source does not have
	Checksum       bool // decide by checksums, not times
	DryRun         bool // only show
	Yes            bool // do not ask before removing
	Parallel       int  // files at once

	Factory  *cli.Factory
	Client   *client.Client
	Mover    *transfer.Mover
	Copier   copier.Copier
	Progress term.Progress
	Report   *cli.Report
}

// Syncer is one run of a job. The folders are compared on one goroutine while others
// bring over what differs; what is to be removed, and what needs its place, waits for the end.
type Syncer struct {
	Job

	once    sync.Once // opens the local target
	root    *os.Root
	rootErr error

	listed  int             // names that the source has something under, known or not
	files   int             // files of the source that the rules take
	extra   []compare.Entry // of the target, which the source was seen to lack; by name
	late    []*late         // changes that wait for their place, by name
	open    []*late         // those of late of whose folder more names may come
	above   []string        // files of the source that the next names may continue, each with a slash; the widest first
	checked string          // a folder below the target that was seen to be one

	changed, removed, unchanged, failed, passed, excluded, bytes atomic.Int64
}

// change is a file that may have to be brought over.
type change struct {
	compare.Pair
	reason string // new, size, time or checksum; "" when checksums are still to be compared
}

// New makes a syncer, for one run.
func New(job Job) *Syncer { return &Syncer{Job: job} }

// Run does the job, and shows and reports each file. The error is the report's, or says that a question was answered with no.
func (s *Syncer) Run(ctx context.Context) error {
	defer s.close()
	transfer.Each(ctx, s.parallel(), s.changes(ctx), func(c change) { s.apply(ctx, c) })
	if !s.Source.Local() && s.listed == 0 && s.failed.Load() == 0 && ctx.Err() == nil {
		s.fail(fault.Wrap(s.Source.String(), fault.New("not_found", "nothing lies under it").
			WithHint("s3ctl ls %s    shows what is there; to empty the target, use rm", address.Remote{Bucket: s.Source.Remote.Bucket})))
	}
	var refused error
	if ctx.Err() == nil {
		refused = s.settle(ctx)
	}
	if ctx.Err() != nil {
		s.Report.Fail(ctx.Err())
	}
	err := s.Report.Close()
	if err == nil {
		err = refused
	}
	s.summary()
	return err
}

// parallel: what would be done is shown in order.
func (s *Syncer) parallel() int {
	if s.DryRun {
		return 1
	}
	return s.Parallel
}

func (s *Syncer) fail(err error) {
	if fault.ExitOf(err) != fault.Interrupted {
		s.failed.Add(1)
	}
	s.Report.Fail(err)
}

// passOver takes note of a name that stays as it is because a side does not say what it has under it.
func (s *Syncer) passOver(side compare.Folder, e compare.Entry) {
	s.passed.Add(1)
	if !e.Veiled() { // of what lies behind it, it is enough to name it
		s.Report.Note("sync %s: passed over: %s", side.At(e.Name), e.Why)
	}
}

// changes compares the folders and gives what differs, as far as that shows without reading files.
func (s *Syncer) changes(ctx context.Context) iter.Seq[change] {
	left := s.Source.Side(ctx, s.Client, compare.Follow).Only(s.Takes)
	right := s.Target.Side(ctx, s.Client, compare.Keep).Unless(s.foreign).Only(s.Takes)
	return func(yield func(change) bool) {
		for p := range compare.Pairs(ctx, left, right) {
			s.note(p)
			c, differs := s.decide(p)
			if differs && s.placed(c) && !yield(c) {
				return
			}
		}
	}
}

// foreign says why a name of the target can be none of the source's: that the source lacks it then means nothing.
func (s *Syncer) foreign(name string) string {
	var err error
	switch {
	case s.Source.Local():
		if _, err = address.Localize(name); err == nil {
			err = mayBeNamed(s.Source.Dir, longElements(name))
		}
	case s.Target.Local() && !strings.HasSuffix(name, "/"):
		err = address.CheckKey(s.Source.Object(name).Key)
	}
	if err != nil {
		return compare.Foreign
	}
	return ""
}

// note counts what the source has, and tells the changes that wait for a folder's place of what is to stay in it.
func (s *Syncer) note(p compare.Pair) {
	if p.Left.State != compare.Absent && p.Left.Err == nil {
		s.listed++
	}
	if p.Left.State == compare.Present {
		s.files++
	}
	if s.Delete && p.Left.State == compare.Absent && p.Right.State == compare.Present {
		return
	}
	s.stays(p.Name)
}

// decide says whether a pair may have to be worked on, and takes note of the others.
func (s *Syncer) decide(p compare.Pair) (c change, differs bool) {
	c.Pair = p
	left, right := p.Left.State, p.Right.State
	switch {
	case p.Left.Why == compare.Excluded || p.Right.Why == compare.Excluded:
		s.excluded.Add(1)
	case p.Trouble() != nil:
		s.fail(p.Trouble())
	case left == compare.Unknown:
		s.passOver(s.Source, p.Left)
	case left == compare.Absent && !s.Delete: // the target's own affair
	case left == compare.Absent && right == compare.Unknown:
		s.passOver(s.Target, p.Right)
	case left == compare.Absent:
		s.extra = append(s.extra, p.Right)
	case s.under(p.Name) != "":
		s.failAt(p.Name, fault.New("conflict", "%s is a file, and cannot be a folder at the same time", s.Source.At(s.under(p.Name))).
			WithHint("two keys cannot both be stored here; fetch one of them to another folder"))
	case right == compare.Unknown && !p.Right.Linked:
		s.failAt(p.Name, inTheWay(p.Right.Why))
	default:
		s.below(p.Name)
		if c.reason, differs = s.judge(p); !differs {
			s.unchanged.Add(1)
		} else if right == compare.Unknown && c.reason != "" {
			s.failAt(p.Name, inTheWay(p.Right.Why))
			differs = false
		}
	}
	return c, differs
}

// inTheWay is the error about a place in the target that cannot be written.
func inTheWay(why string) error {
	return fault.New("conflict", "the target is left as it is: %s", why).WithHint("move away what is there, or pass it over: --exclude NAME")
}

// failAt reports a failure of a name of the source.
func (s *Syncer) failAt(name string, err error) { s.fail(fault.Wrap(s.Source.At(name), err)) }

// below remembers a file of the source: a local target cannot have what continues its name.
func (s *Syncer) below(name string) {
	if s.Target.Local() {
		s.above = append(s.above, name+"/")
	}
}

// under is the file of the source that a name continues, or "". It is called with names in order.
func (s *Syncer) under(name string) string {
	s.above = slices.DeleteFunc(s.above, func(folder string) bool { return name >= folder[:len(folder)-1]+"0" }) // '0' follows '/'
	for _, folder := range s.above {
		if strings.HasPrefix(name, folder) {
			return folder[:len(folder)-1]
		}
	}
	return ""
}

// judge compares what both sides have under a name.
func (s *Syncer) judge(p compare.Pair) (reason string, differs bool) {
	switch {
	case p.Right.State == compare.Absent:
		return "new", true
	case p.Left.Size != p.Right.Size:
		return "size", true
	case p.Left.File != nil && p.Right.File != nil:
		return "checksum", p.Left.File.Checksums.CRC64NVME != p.Right.File.Checksums.CRC64NVME
	case s.Checksum:
		return "", true
	}
	return "time", compare.Older(&p.Right, &p.Left)
}
