// Package syncer makes one folder like another, of which one at least is behind a
// prefix: it compares them and puts, gets or copies what differs, and at the end removes
// what only the target has.
package syncer

import (
	"context"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
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
	"github.com/ringstore/ringstore/proto/rest"
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
// bring over what differs; what is to be removed waits for the end.
type Syncer struct {
	Job

	once    sync.Once // opens the local target
	root    *os.Root
	rootErr error

	sources int             // entries that the source had
	extra   []compare.Entry // of the target, which the source does not have

	changed, removed, unchanged, failed, bytes atomic.Int64
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
	if ctx.Err() != nil {
		s.Report.Fail(ctx.Err())
	}
	if !s.Source.Local() && s.sources == 0 && s.failed.Load() == 0 && ctx.Err() == nil {
		s.fail(fault.Wrap(s.Source.String(), fault.New("not_found", "nothing lies under it").
			WithHint("s3ctl ls %s    shows what is there; to empty the target, use rm", address.Remote{Bucket: s.Source.Remote.Bucket})))
	}
	var refused error
	if ctx.Err() == nil {
		refused = s.removeExtra(ctx)
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

// changes compares the folders and gives what differs, as far as that shows without reading files.
func (s *Syncer) changes(ctx context.Context) iter.Seq[change] {
	left, right := s.Source.Side(ctx, s.Client, compare.Follow), s.Target.Side(ctx, s.Client, compare.Keep)
	return func(yield func(change) bool) {
		for p := range compare.Pairs(ctx, left, right) {
			if p.Left != nil {
				s.sources++
			}
			c, differs := s.decide(p)
			if differs && !yield(c) {
				return
			}
		}
	}
}

// decide says whether a pair may have to be worked on, and takes note of the others.
func (s *Syncer) decide(p compare.Pair) (c change, differs bool) {
	c.Pair = p
	switch {
	case !p.Whole() && !s.Takes.Takes(p.Name):
	case p.Trouble() != nil:
		s.fail(p.Trouble())
	case p.Skip() != "":
		if p.Left != nil && p.Left.Skip != "" {
			s.Report.Note("sync %s: passed over: %s", s.Source.At(p.Name), p.Skip())
		}
	case p.Left == nil:
		if s.Delete {
			s.extra = append(s.extra, *p.Right)
		}
	default:
		if c.reason, differs = s.judge(p); !differs {
			s.unchanged.Add(1)
		}
	}
	return c, differs
}

// judge compares what both sides have under a name.
func (s *Syncer) judge(p compare.Pair) (reason string, differs bool) {
	switch {
	case p.Right == nil:
		return "new", true
	case p.Left.Size != p.Right.Size:
		return "size", true
	case p.Left.File != nil && p.Right.File != nil:
		return "checksum", p.Left.File.Checksums.CRC64NVME != p.Right.File.Checksums.CRC64NVME
	case s.Checksum:
		return "", true
	}
	return "time", compare.Older(p.Right, p.Left)
}

// apply brings a file over, unless its checksum shows that there is no need.
func (s *Syncer) apply(ctx context.Context, c change) {
	if c.reason == "" {
		same, err := sameSums(ctx, c.Pair)
		switch {
		case err != nil:
			s.fail(fault.Wrap(s.Source.At(c.Name), err))
			return
		case same:
			s.unchanged.Add(1)
			return
		}
		c.reason = "checksum"
	}
	if s.DryRun {
		s.done(c, rest.File{Size: c.Left.Size})
		return
	}
	s.Progress.Plan(1, c.Left.Size)
	defer s.Progress.Finished()
	f, err := s.bring(ctx, c)
	if err != nil {
		s.fail(fault.Wrap(s.Source.At(c.Name), err))
		return
	}
	s.done(c, f)
}

func sameSums(ctx context.Context, p compare.Pair) (bool, error) {
	left, err := p.Left.Sum(ctx)
	if err != nil {
		return false, err
	}
	right, err := p.Right.Sum(ctx)
	return left == right, err
}

func (s *Syncer) done(c change, f rest.File) {
	s.changed.Add(1)
	s.bytes.Add(f.Size)
	s.Report.Done(s.changeResult(c, f))
}

// bring puts, gets or copies a file.
func (s *Syncer) bring(ctx context.Context, c change) (rest.File, error) {
	source := s.Source.At(c.Name)
	mover := *s.Mover
	mover.Retry.Notify = s.Report.Retrying(source)
	switch {
	case s.Source.Local():
		dst := s.Target.Object(c.Name)
		if err := address.CheckKey(dst.Key); err != nil {
			return rest.File{}, err
		}
		return mover.PutFile(ctx, c.Left.Path, dst)
	case s.Target.Local():
		local, err := address.Localize(c.Name)
		if err != nil {
			return rest.File{}, err
		}
		root, err := s.openRoot()
		if err != nil {
			return rest.File{}, err
		}
		return *c.Left.File, mover.GetFile(ctx, *c.Left.File, root, local)
	}
	one := s.Copier
	one.Retry.Notify = mover.Retry.Notify
	return one.Copy(ctx, *c.Left.File, s.Target.Object(c.Name))
}

// openRoot opens the local target, which no name leads out of, when it is first needed.
func (s *Syncer) openRoot() (*os.Root, error) {
	s.once.Do(func() {
		if s.rootErr = os.MkdirAll(s.Target.Dir, 0o777); s.rootErr == nil {
			s.root, s.rootErr = os.OpenRoot(s.Target.Dir)
		}
	})
	return s.root, s.rootErr
}

func (s *Syncer) close() {
	if s.root != nil {
		_ = s.root.Close()
	}
}

// removeExtra removes what the source does not have, if all went well so far: who could
// not read all of the source does not know that.
func (s *Syncer) removeExtra(ctx context.Context) error {
	switch {
	case len(s.extra) == 0:
		return nil
	case s.failed.Load() > 0:
		s.Report.Note("sync: nothing was removed, because of the errors above")
		return nil
	case s.DryRun:
	case !s.Yes:
		yes, err := false, error(nil)
		s.Progress.Above(func() {
			yes, err = s.Factory.IO.Confirm("Remove " + term.Count(len(s.extra), "file") + " from " + s.Target.String() + " that " + s.Source.String() + " does not have?")
		})
		if err != nil || !yes {
			return fault.New("interrupted", "nothing was removed")
		}
	}
	transfer.Each(ctx, s.removers(), slices.Values(s.extra), func(e compare.Entry) {
		if err := s.remove(ctx, e); err != nil {
			s.fail(fault.Wrap(s.Target.At(e.Name), err))
			return
		}
		s.removed.Add(1)
		s.Report.Done(s.removedResult(e))
	})
	if ctx.Err() != nil {
		s.Report.Fail(ctx.Err())
	}
	return nil
}

func (s *Syncer) removers() int {
	if s.DryRun {
		return 1
	}
	return removing
}

func (s *Syncer) remove(ctx context.Context, e compare.Entry) error {
	if s.DryRun {
		return nil
	}
	if e.File == nil {
		return s.removeLocal(e.Name)
	}
	err := s.Mover.Retry.Do(ctx, func() error { return s.Client.DeleteFile(ctx, e.File.FileID) })
	if fault.ExitOf(err) == fault.NotFound {
		return nil // somebody else removed or replaced it: a newer file is not ours to remove
	}
	return err
}

// removeLocal removes a file, and the folders that are empty without it.
func (s *Syncer) removeLocal(name string) error {
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	if err := root.Remove(filepath.FromSlash(name)); err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if root.Remove(filepath.FromSlash(dir)) != nil {
			break // not empty, or not ours
		}
	}
	return nil
}
