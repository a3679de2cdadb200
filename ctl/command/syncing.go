package command

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

// syncing is one run of sync. The folders are compared on one goroutine while others
// bring over what differs; what is to be removed waits for the end.
type syncing struct {
	o        *SyncOptions
	src, dst folder
	takes    filter.Filter
	client   *client.Client
	mover    *transfer.Mover
	copies   copier.Copier
	progress term.Progress
	report   *cli.Report

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

func (s *syncing) run(ctx context.Context) error {
	transfer.Each(ctx, s.parallel(), s.changes(ctx), func(c change) { s.apply(ctx, c) })
	if ctx.Err() != nil {
		s.report.Fail(ctx.Err())
	}
	if !s.src.local() && s.sources == 0 && s.failed.Load() == 0 && ctx.Err() == nil {
		s.fail(fault.Wrap(s.src.String(), fault.New("not_found", "nothing lies under it").
			WithHint("s3ctl ls %s    shows what is there; to empty the target, use rm", address.Remote{Bucket: s.src.remote.Bucket})))
	}
	var refused error
	if ctx.Err() == nil {
		refused = s.removeExtra(ctx)
	}
	err := s.report.Close()
	if err == nil {
		err = refused
	}
	s.summary()
	return err
}

// parallel: what would be done is shown in order.
func (s *syncing) parallel() int {
	if s.o.DryRun {
		return 1
	}
	return s.o.Parallel
}

func (s *syncing) fail(err error) {
	if fault.ExitOf(err) != fault.Interrupted {
		s.failed.Add(1)
	}
	s.report.Fail(err)
}

// changes compares the folders and gives what differs, as far as that shows without reading files.
func (s *syncing) changes(ctx context.Context) iter.Seq[change] {
	left, right := s.src.side(ctx, s.client, compare.Follow), s.dst.side(ctx, s.client, compare.Keep)
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
func (s *syncing) decide(p compare.Pair) (c change, differs bool) {
	c.Pair = p
	switch {
	case p.Trouble() != nil:
		s.fail(p.Trouble())
	case !s.takes.Takes(p.Name):
	case p.Skip() != "":
		if p.Left != nil && p.Left.Skip != "" {
			s.report.Note("sync %s: passed over: %s", s.src.at(p.Name), p.Skip())
		}
	case p.Left == nil:
		if s.o.Delete {
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
func (s *syncing) judge(p compare.Pair) (reason string, differs bool) {
	switch {
	case p.Right == nil:
		return "new", true
	case p.Left.Size != p.Right.Size:
		return "size", true
	case p.Left.File != nil && p.Right.File != nil:
		return "checksum", p.Left.File.Checksums.CRC64NVME != p.Right.File.Checksums.CRC64NVME
	case s.o.Checksum:
		return "", true
	}
	return "time", compare.Older(p.Right, p.Left)
}

// apply brings a file over, unless its checksum shows that there is no need.
func (s *syncing) apply(ctx context.Context, c change) {
	if c.reason == "" {
		same, err := sameSums(ctx, c.Pair)
		switch {
		case err != nil:
			s.fail(fault.Wrap(s.src.at(c.Name), err))
			return
		case same:
			s.unchanged.Add(1)
			return
		}
		c.reason = "checksum"
	}
	if s.o.DryRun {
		s.done(c, rest.File{Size: c.Left.Size})
		return
	}
	s.progress.Plan(1, c.Left.Size)
	defer s.progress.Finished()
	f, err := s.bring(ctx, c)
	if err != nil {
		s.fail(fault.Wrap(s.src.at(c.Name), err))
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

func (s *syncing) done(c change, f rest.File) {
	s.changed.Add(1)
	s.bytes.Add(f.Size)
	s.report.Done(s.changeResult(c, f))
}

// bring puts, gets or copies a file.
func (s *syncing) bring(ctx context.Context, c change) (rest.File, error) {
	source := s.src.at(c.Name)
	mover := *s.mover
	mover.Retry.Notify = s.report.Retrying(source)
	switch {
	case s.src.local():
		dst := s.dst.object(c.Name)
		if err := address.CheckKey(dst.Key); err != nil {
			return rest.File{}, err
		}
		return mover.PutFile(ctx, c.Left.Path, dst)
	case s.dst.local():
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
	one := s.copies
	one.Retry.Notify = mover.Retry.Notify
	return one.Copy(ctx, *c.Left.File, s.dst.object(c.Name))
}

// openRoot opens the local target, which no name leads out of, when it is first needed.
func (s *syncing) openRoot() (*os.Root, error) {
	s.once.Do(func() {
		if s.rootErr = os.MkdirAll(s.dst.dir, 0o777); s.rootErr == nil {
			s.root, s.rootErr = os.OpenRoot(s.dst.dir)
		}
	})
	return s.root, s.rootErr
}

func (s *syncing) close() {
	if s.root != nil {
		_ = s.root.Close()
	}
}

// removeExtra removes what the source does not have, if all went well so far: who could
// not read all of the source does not know that.
func (s *syncing) removeExtra(ctx context.Context) error {
	switch {
	case len(s.extra) == 0:
		return nil
	case s.failed.Load() > 0:
		s.report.Note("sync: nothing was removed, because of the errors above")
		return nil
	case s.o.DryRun:
	case !s.o.Yes:
		yes, err := false, error(nil)
		s.progress.Above(func() {
			yes, err = s.o.Factory.IO.Confirm("Remove " + term.Count(len(s.extra), "file") + " from " + s.dst.String() + " that " + s.src.String() + " does not have?")
		})
		if err != nil || !yes {
			return fault.New("interrupted", "nothing was removed")
		}
	}
	transfer.Each(ctx, s.removers(), slices.Values(s.extra), func(e compare.Entry) {
		if err := s.remove(ctx, e); err != nil {
			s.fail(fault.Wrap(s.dst.at(e.Name), err))
			return
		}
		s.removed.Add(1)
		s.report.Done(s.removedResult(e))
	})
	if ctx.Err() != nil {
		s.report.Fail(ctx.Err())
	}
	return nil
}

func (s *syncing) removers() int {
	if s.o.DryRun {
		return 1
	}
	return rmParallel
}

func (s *syncing) remove(ctx context.Context, e compare.Entry) error {
	if s.o.DryRun {
		return nil
	}
	if e.File == nil {
		return s.removeLocal(e.Name)
	}
	err := s.mover.Retry.Do(ctx, func() error { return s.client.DeleteFile(ctx, e.File.FileID) })
	if fault.ExitOf(err) == fault.NotFound {
		return nil // somebody else removed or replaced it: a newer file is not ours to remove
	}
	return err
}

// removeLocal removes a file, and the folders that are empty without it.
func (s *syncing) removeLocal(name string) error {
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

// syncLine is the line of --json for what was done, or with --dry-run would be.
type syncLine struct {
	Action string `json:"action"` // put, get, copy or remove
	Source string `json:"source,omitempty"`
	Target string `json:"target"`
	Reason string `json:"reason"` // new, size, time, checksum or extra
	Size   int64  `json:"size"`
	FileID string `json:"file_id,omitempty"`
	CRC    string `json:"crc64nvme,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

func (l syncLine) result() cli.Result {
	would := ""
	if l.DryRun {
		would = "would "
	}
	line := would + l.Action + " " + l.Source + " -> " + l.Target + "  " + term.Size(l.Size) + "  (" + l.Reason + ")"
	if l.Source == "" {
		line = would + l.Action + " " + l.Target
	}
	return cli.Result{JSON: l, Cells: []string{l.Action, l.Source, l.Target, l.Reason, bytesOf(l.Size)}, Line: line}
}

func (s *syncing) changeResult(c change, f rest.File) cli.Result {
	action := "copy"
	switch {
	case s.src.local():
		action = "put"
	case s.dst.local():
		action = "get"
	}
	return syncLine{
		Action: action, Source: s.src.at(c.Name), Target: s.dst.at(c.Name), Reason: c.reason, Size: f.Size,
		FileID: f.FileID, CRC: f.Checksums.CRC64NVME, DryRun: s.o.DryRun,
	}.result()
}

func (s *syncing) removedResult(e compare.Entry) cli.Result {
	l := syncLine{Action: "remove", Target: s.dst.at(e.Name), Reason: "extra", Size: max(e.Size, 0), DryRun: s.o.DryRun}
	if e.File != nil {
		l.FileID = e.File.FileID
	}
	return l.result()
}

// syncSummary is the last line of --json.
type syncSummary struct {
	Summary syncCounts `json:"summary"`
}

type syncCounts struct {
	Changed   int64 `json:"changed"`
	Removed   int64 `json:"removed"`
	Unchanged int64 `json:"unchanged"`
	Failed    int64 `json:"failed"`
	Bytes     int64 `json:"bytes"`
}

func (s *syncing) summary() {
	c := syncCounts{s.changed.Load(), s.removed.Load(), s.unchanged.Load(), s.failed.Load(), s.bytes.Load()}
	if s.o.Factory.Global.JSON {
		_ = s.o.Factory.ShowJSON(syncSummary{c}) // a broken stream has failed the lines before
		return
	}
	s.report.Note("sync: %s changed (%s), %d removed, %d unchanged, %d failed", term.Count(int(c.Changed), "file"), term.Size(c.Bytes), c.Removed, c.Unchanged, c.Failed)
}
