package syncer

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
)

// settle ends the run, once all of both sides has been read and all that has a place was brought over: it removes
// what only the target has, first what stands in the way of a change, then brings that change, then removes the rest. Nothing is removed after
// an error: the name that failed may be what an extra one was renamed to.
func (s *Syncer) settle(ctx context.Context) error {
	s.confirmExtra()
	s.refuseEmpty()
	s.refuseLate()
	if s.failed.Load() > 0 || !s.Delete || len(s.extra) == 0 {
		s.bringLate(ctx, nil) // those that need an empty folder's place
		s.noteLeft(s.extra)
		return nil
	}
	if !s.agreed() {
		return fault.New("interrupted", "nothing was removed")
	}
	var first, rest []compare.Entry
	for _, e := range s.extra {
		if slices.ContainsFunc(s.late, func(l *late) bool { return l.waitsFor(e.Name) }) {
			first = append(first, e)
		} else {
			rest = append(rest, e)
		}
	}
	s.bringLate(ctx, s.removeAll(ctx, first))
	if s.failed.Load() > 0 {
		s.noteLeft(rest)
		return nil
	}
	s.removeAll(ctx, rest)
	return nil
}

// noteLeft says that what would be removed stays.
func (s *Syncer) noteLeft(left []compare.Entry) {
	if s.failed.Load() > 0 && len(left) > 0 {
		s.Report.Note("sync: nothing was removed, because of the errors above")
	}
}

// confirmExtra looks a last time whether the source lacks what is to be removed. Between two listings much can happen.
func (s *Syncer) confirmExtra() {
	if !s.Source.Local() {
		return
	}
	s.extra = slices.DeleteFunc(s.extra, func(e compare.Entry) bool {
		path := s.Source.At(e.Name)
		info, err := os.Lstat(path)
		if absent(err) || err == nil && info.IsDir() {
			return false
		}
		s.passed.Add(1)
		s.Report.Note("sync %s: passed over: the source has something under the name by now, or cannot tell", s.Target.At(e.Name))
		return true
	})
}

// refuseEmpty: a source without any file is most likely one that is not mounted, or not the one that was meant.
func (s *Syncer) refuseEmpty() {
	if s.files == 0 && len(s.extra) > 0 && s.failed.Load() == 0 {
		s.fail(fault.Wrap(s.Source.String(), fault.New("not_found", "there is no file in it, and %s would be removed from %s", term.Count(len(s.extra), "file"), s.Target).
			WithHint("make sure that it is mounted, and the one that is meant; to empty the target, use rm")))
	}
}

// refuseLate fails the changes whose place does not get free.
func (s *Syncer) refuseLate() {
	refuse := func(which func(l *late) bool, why string) {
		s.late = slices.DeleteFunc(s.late, func(l *late) bool {
			if !which(l) {
				return false
			}
			what := "a file stands where a folder is needed"
			if l.folder {
				what = "a folder stands where the file is to be"
			}
			s.failAt(l.Name, fault.New("conflict", "%s, %s", what, why).WithHint("move it away, or see what it has in it"))
			return true
		})
	}
	refuse(func(l *late) bool { return l.stays }, "with something in it that is not to be removed")
	refuse(func(l *late) bool { return !l.folder && !s.removes(l.file) }, "which is not to be removed")
	if s.failed.Load() > 0 {
		refuse(s.needsRoom, "and nothing is removed because of the other errors")
	}
}

func (s *Syncer) removes(name string) bool {
	return slices.ContainsFunc(s.extra, func(e compare.Entry) bool { return e.Name == name })
}

// needsRoom: something has to be removed for the change.
func (s *Syncer) needsRoom(l *late) bool {
	return slices.ContainsFunc(s.extra, func(e compare.Entry) bool { return l.waitsFor(e.Name) })
}

// agreed asks whether to remove, unless that was said before, or nothing will be.
func (s *Syncer) agreed() bool {
	if s.DryRun || s.Yes {
		return true
	}
	yes, err := false, error(nil)
	s.Progress.Above(func() {
		yes, err = s.Factory.IO.Confirm("Remove " + term.Count(len(s.extra), "file") + " from " + s.Target.String() + " that " + s.Source.String() + " does not have?")
	})
	return yes && err == nil
}

// bringLate makes the changes that waited for their place. left are the names that could not be removed for them.
func (s *Syncer) bringLate(ctx context.Context, left []string) {
	transfer.Each(ctx, s.parallel(), slices.Values(s.late), func(l *late) {
		err := error(nil)
		switch {
		case slices.ContainsFunc(left, l.waitsFor):
			err = fault.New("conflict", "what stands in its place could not be removed").WithHint("the message about it says what to do")
		case l.folder && !s.DryRun:
			err = s.clear(l.Name)
		}
		if err != nil {
			s.failAt(l.Name, err)
			return
		}
		s.apply(ctx, l.change)
	})
}

// clear removes a folder that has nothing but folders in it.
func (s *Syncer) clear(name string) error {
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	var folders []string
	err = fs.WalkDir(root.FS(), name, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return fault.New("conflict", "there is something in the folder that stands in its place: %s", path).WithHint("run the same command again")
		}
		folders = append(folders, path)
		return nil
	})
	for _, folder := range slices.Backward(folders) {
		if err == nil {
			err = root.Remove(filepath.FromSlash(folder))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeAll removes entries of the target, and returns the names that could not be removed.
func (s *Syncer) removeAll(ctx context.Context, entries []compare.Entry) (left []string) {
	var mu sync.Mutex // guards left
	transfer.Each(ctx, s.removers(), slices.Values(entries), func(e compare.Entry) {
		if err := s.remove(ctx, e); err != nil {
			s.fail(fault.Wrap(s.Target.At(e.Name), err))
			mu.Lock()
			defer mu.Unlock()
			left = append(left, e.Name)
			return
		}
		s.removed.Add(1)
		s.Report.Done(s.removedResult(e))
	})
	return left
}

func (s *Syncer) removers() int {
	if s.DryRun {
		return 1
	}
	return removing
}

func (s *Syncer) remove(ctx context.Context, e compare.Entry) error {
	if e.File == nil {
		return s.removeLocal(e.Name)
	}
	if s.DryRun {
		return nil
	}
	err := s.Mover.Retry.Do(ctx, func() error { return s.Client.DeleteFile(ctx, e.File.FileID) })
	if fault.ExitOf(err) == fault.NotFound {
		return nil // it was removed or replaced meanwhile: a newer file is not ours to remove
	}
	return err
}

// removeLocal removes a file, and the folders that are empty without it. What is not the file that was listed stays.
func (s *Syncer) removeLocal(name string) error {
	local := filepath.FromSlash(name)
	for at := local; at != "."; at = filepath.Dir(at) {
		info, err := os.Lstat(filepath.Join(s.Target.Dir, at))
		switch {
		case absent(err):
			return nil
		case err != nil:
			return err
		case at == local && info.Mode().IsRegular(), at != local && info.IsDir():
		default:
			return inTheWay(at + " is not what it was when it was listed")
		}
	}
	if err := s.writable(name); err != nil || s.DryRun {
		return err
	}
	root, err := s.openRoot()
	if err != nil {
		return err
	}
	if err := root.Remove(local); err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if root.Remove(filepath.FromSlash(dir)) != nil {
			break // not empty, or not ours
		}
	}
	return nil
}
