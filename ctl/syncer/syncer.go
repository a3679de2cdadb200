// Package syncer makes a target folder equal to a source folder, of which at least one is remote: it compares them, uploads,
// downloads or copies what differs, and at the end removes what only the target has.
//
// Invariants:
//
//   - Nothing is removed unless the source was seen to lack it, and nothing is written unless it is known what the target has at
//     that name: names that compare calls Unknown are left unchanged, shown and counted.
//   - A dry run executes the same code up to the last step: it decides, looks up and refuses the same, and omits only the
//     operations that change something. There is no separate code that predicts the changes.
//   - Each name is decided in order of the names, from the listing and from what is at its path; concurrent transfers do not
//     affect the decision.
package syncer

import (
	"cmp"
	"context"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// removing is how many files are removed concurrently.
const removing = 16

// Job is a synchronization to run.
type Job struct {
	Source, Target compare.Folder
	Takes          address.Filter
	Delete         bool          // remove what the source does not have
	Checksum       bool          // compare checksums instead of times
	Links          compare.Links // to folders, of a local source
	DryRun         bool          // only show what would change
	Yes            bool          // do not ask before removing
	Parallel       int           // concurrent files

	Client *client.Client
	View   View
}

// View shows a run to the user. Its methods are safe for concurrent use; End is the last call.
type View interface {
	Plan(files int, bytes int64)                                           // transfers were found; negative: they turn out not to be needed
	Listing()                                                              // more transfers may be found, until Listed
	Listed()                                                               // all were found
	Start(name string, bytes int64) (m *transfer.Manager, end func(error)) // a transfer starts, with m, and ends
	Changed(c Change)                                                      // a change was made, or would be made
	Fail(err error)                                                        // a name failed, or the run as a whole
	Note(format string, args ...any)                                       // neither a change nor a failure
	Confirm(files int) bool                                                // asks whether so many files may be removed
	End(ctx context.Context) error                                         // ends the display and returns the overall error
}

// syncer is one run of a job. One goroutine compares the folders while others transfer what differs; removals, and changes that
// need them, are made at the end.
type syncer struct {
	Job

	once    sync.Once // opens the local target
	root    *os.Root
	rootErr error

	listed   int             // names under which the source has something, known or not
	files    int             // files of the source that the rules select
	extra    []compare.Entry // entries of the target that the source was seen to lack; by name
	deferred []*deferred     // changes whose path is occupied; by name
	open     []*deferred     // those of deferred in whose folder more names may follow
	above    []string        // files of the source that the next names may extend, each with a slash; outermost first
	checked  string          // a folder below the target that was seen to be a folder

	changes, removed, unchanged, assumed, failed, skipped, excluded, bytes atomic.Int64
}

// change is a file that may have to be transferred.
type change struct {
	compare.Pair
	reason string // new, size, time or checksum; "" if checksums have to be compared first
}

// Run runs the job and shows each file. The error is that of the view, or interrupted if the question was answered with no.
func (j Job) Run(ctx context.Context) (Counts, error) {
	s := &syncer{Job: j}
	defer func() {
		if s.root != nil {
			_ = s.root.Close()
		}
	}()
	s.View.Listing()
	transfer.Each(ctx, s.workers(s.Parallel), ahead(s.differences(ctx), lookAhead), func(c change) { s.apply(ctx, c) })
	if !s.Source.Local() && s.listed == 0 && s.failed.Load() == 0 && ctx.Err() == nil {
		s.fail(fault.Wrap(s.Source.String(), fault.New(problem.NotFound, "there is nothing under it").
			WithHint("s3ctl ls %s    lists what exists; to empty the target, use rm", address.Remote{Bucket: s.Source.Remote.Bucket})))
	}
	var refused error
	if ctx.Err() == nil {
		refused = s.finish(ctx)
	}
	err := cmp.Or(s.View.End(ctx), refused)
	return Counts{
		Changed: s.changes.Load(), Removed: s.removed.Load(), Unchanged: s.unchanged.Load(), Assumed: s.assumed.Load(), Skipped: s.skipped.Load(),
		Excluded: s.excluded.Load(), Failed: s.failed.Load(), Bytes: s.bytes.Load(),
	}, err
}

// workers is most, or 1 for a dry run, which shows the changes in order.
func (s *syncer) workers(most int) int {
	if s.DryRun {
		return 1
	}
	return most
}

func (s *syncer) fail(err error) {
	if fault.ExitOf(err) != fault.Interrupted {
		s.failed.Add(1)
	}
	s.View.Fail(err)
}

// skip counts and shows a name that is left unchanged because it is not known what one side has there.
func (s *syncer) skip(side compare.Folder, e compare.Entry) {
	s.skipped.Add(1)
	if !e.Inherited() { // names below an Unknown folder are only counted
		s.View.Note("sync %s: skipped: %s", side.At(e.Name), e.Why)
	}
}

// differences compares the folders and yields the differences, as far as they show without reading files.
func (s *syncer) differences(ctx context.Context) iter.Seq[change] {
	left := s.Source.Side(ctx, s.Client, s.Links).Only(s.Takes)
	right := s.Target.Side(ctx, s.Client, compare.Keep).Unless(s.foreign).Only(s.Takes)
	return func(yield func(change) bool) {
		for p := range compare.Pairs(ctx, left, right) {
			s.note(p)
			c, differs := s.decide(p)
			if !differs || !s.placed(c) {
				continue
			}
			s.plan(1, c)
			if !yield(c) {
				return
			}
		}
		s.View.Listed()
	}
}

// lookAhead is how many differences are found before they are transferred, so that the total is known early.
const lookAhead = 4096

// ahead yields the items while another goroutine finds up to so many more.
func ahead[T any](items iter.Seq[T], most int) iter.Seq[T] {
	return func(yield func(T) bool) {
		found, ended := make(chan T, most), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(found)
			for item := range items {
				select {
				case found <- item:
				case <-ended:
					return
				}
			}
		})
		defer wg.Wait()
		defer close(ended)
		for item := range found {
			if !yield(item) {
				return
			}
		}
	}
}

// plan adds a transfer to the totals, or takes it back.
func (s *syncer) plan(files int, c change) {
	if !s.DryRun {
		s.View.Plan(files, int64(files)*c.Left.Size)
	}
}

// foreign returns why the source cannot have a name of the target, or "". That the source lacks such a name means nothing.
func (s *syncer) foreign(name string) string {
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

// note counts the names of the source, and marks deferred changes that would need this name removed although it must stay.
func (s *syncer) note(p compare.Pair) {
	if p.Left.State != compare.Absent && p.Left.Err == nil {
		s.listed++
	}
	if p.Left.State == compare.Present {
		s.files++
	}
	if s.Delete && p.Left.State == compare.Absent && p.Right.State == compare.Present {
		return
	}
	s.keep(p.Name)
}

// decide returns whether a pair may need a change, and records all others.
func (s *syncer) decide(p compare.Pair) (c change, differs bool) {
	c.Pair = p
	left, right := p.Left.State, p.Right.State
	switch {
	case p.Left.Why == compare.Excluded || p.Right.Why == compare.Excluded:
		s.excluded.Add(1)
	case p.Trouble() != nil:
		s.fail(p.Trouble())
	case left == compare.Unknown:
		s.skip(s.Source, p.Left)
	case left == compare.Present && !s.storable(p.Name):
		p.Left.Why = compare.Unstorable
		s.skip(s.Source, p.Left)
	case left == compare.Absent && !s.Delete: // kept
	case left == compare.Absent && right == compare.Unknown:
		s.skip(s.Target, p.Right)
	case left == compare.Absent:
		s.extra = append(s.extra, p.Right)
	case s.under(p.Name) != "":
		s.failAt(p.Name, fault.New(problem.Conflict, "%s is a file and cannot be a folder at the same time", s.Source.At(s.under(p.Name))).
			WithHint("the two keys cannot both be stored here; fetch one of them to another folder"))
	case right == compare.Unknown && !p.Right.Linked:
		s.failAt(p.Name, inTheWay(p.Right.Why))
	default:
		if s.Target.Local() {
			s.above = append(s.above, p.Name+"/") // a local target cannot have a name below a file
		}
		if c.reason, differs = s.judge(p); !differs {
			s.unchanged.Add(1)
		} else if right == compare.Unknown && c.reason != "" {
			s.failAt(p.Name, inTheWay(p.Right.Why))
			differs = false
		}
	}
	return c, differs
}

// storable reports whether the target can have a key of that name.
func (s *syncer) storable(name string) bool {
	return s.Target.Local() || address.CheckKey(s.Target.Object(name).Key) == nil
}

// inTheWay is the error about a name in the target that must not be written.
func inTheWay(why string) error {
	return fault.New(problem.Conflict, "the target was left unchanged: %s", why).WithHint("move the existing file away, or skip it: --exclude NAME")
}

// failAt reports a failure of a name of the source.
func (s *syncer) failAt(name string, err error) { s.fail(fault.Wrap(s.Source.At(name), err)) }

// under returns the file of the source that a name is below, or "". It is called with names in order.
func (s *syncer) under(name string) string {
	s.above = slices.DeleteFunc(s.above, func(folder string) bool { return name >= folder[:len(folder)-1]+"0" }) // '0' follows '/'
	for _, folder := range s.above {
		if strings.HasPrefix(name, folder) {
			return folder[:len(folder)-1]
		}
	}
	return ""
}

// judge compares what both sides have under a name.
func (s *syncer) judge(p compare.Pair) (reason string, differs bool) {
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
	differs = compare.Older(&p.Right, &p.Left)
	if !differs {
		s.assumed.Add(1)
	}
	return "time", differs
}

// Change is a change of the target that was made, or in a dry run would be made. Its JSON is a line of s3ctl sync --json.
type Change struct {
	Action string `json:"action"` // put, get, copy or remove
	Source string `json:"source,omitempty"`
	Target string `json:"target"`
	Reason string `json:"reason"` // new, size, time, checksum or extra
	Size   int64  `json:"size"`
	FileID string `json:"file_id,omitempty"`
	CRC    string `json:"crc64nvme,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

func (s *syncer) changed(c change, f rest.File) Change {
	action := "copy"
	switch {
	case s.Source.Local():
		action = "put"
	case s.Target.Local():
		action = "get"
	}
	return Change{
		Action: action, Source: s.Source.At(c.Name), Target: s.Target.At(c.Name), Reason: c.reason, Size: f.Size,
		FileID: f.FileID, CRC: f.Checksums.CRC64NVME, DryRun: s.DryRun,
	}
}

func (s *syncer) removal(e compare.Entry) Change {
	c := Change{Action: "remove", Target: s.Target.At(e.Name), Reason: "extra", Size: max(e.Size, 0), DryRun: s.DryRun}
	if e.File != nil {
		c.FileID = e.File.FileID
	}
	return c
}

// Counts are the names of a run by what was done about them, and the bytes of what changed.
type Counts struct {
	Changed   int64 `json:"changed"`
	Removed   int64 `json:"removed"`
	Unchanged int64 `json:"unchanged"`
	Assumed   int64 `json:"unchanged_by_time"` // those of Unchanged whose sizes and times were compared, and nothing else
	Skipped   int64 `json:"skipped"`
	Excluded  int64 `json:"excluded"`
	Failed    int64 `json:"failed"`
	Bytes     int64 `json:"bytes"`
}
