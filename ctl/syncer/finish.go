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
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
)

// finish ends the run after both sides were read and all changes that were possible at once are made. It removes what only
// the target has: first what is in the way of a deferred change, then makes that change, then removes the rest. Nothing is
// removed after an error: a name that failed may be the new name of an extra file.
func (s *syncer) finish(ctx context.Context) error {
	s.confirmExtra()
	s.refuseEmpty()
	s.refuseDeferred()
	if s.failed.Load() > 0 || !s.Delete || len(s.extra) == 0 {
		s.applyDeferred(ctx, nil) // those that replace an empty folder
		s.noteLeft(s.extra)
		return nil
	}
	if !s.DryRun && !s.Yes && !s.View.Confirm(len(s.extra)) {
		return fault.New(problem.Interrupted, "nothing was removed")
	}
	var first, rest []compare.Entry
	for _, e := range s.extra {
		if slices.ContainsFunc(s.deferred, func(l *deferred) bool { return l.waitsFor(e.Name) }) {
			first = append(first, e)
		} else {
			rest = append(rest, e)
		}
	}
	s.applyDeferred(ctx, s.removeAll(ctx, first))
	if s.failed.Load() > 0 {
		s.noteLeft(rest)
		return nil
	}
	s.removeAll(ctx, rest)
	return nil
}

// noteLeft notes that extra files were kept because of errors.
func (s *syncer) noteLeft(left []compare.Entry) {
	if s.failed.Load() > 0 && len(left) > 0 {
		s.View.Note("sync: nothing was removed, because of the errors above")
	}
}

// confirmExtra checks again that the source lacks what is about to be removed, since it may have changed since it was read.
func (s *syncer) confirmExtra() {
	if !s.Source.Local() {
		return
	}
	s.extra = slices.DeleteFunc(s.extra, func(e compare.Entry) bool {
		path := s.Source.At(e.Name)
		info, err := os.Lstat(path)
		if absent(err) || err == nil && info.IsDir() {
			return false
		}
		s.skipped.Add(1)
		s.View.Note("sync %s: skipped: the source now has something under this name, or it cannot be checked", s.Target.At(e.Name))
		return true
	})
}

// refuseEmpty refuses to remove everything because of an empty source, which is most likely not mounted or not the intended one.
func (s *syncer) refuseEmpty() {
	if s.files == 0 && len(s.extra) > 0 && s.failed.Load() == 0 {
		s.fail(fault.Wrap(s.Source.String(), fault.New(problem.NotFound, "it contains no file, and everything in %s would be removed (files: %d)", s.Target, len(s.extra)).
			WithHint("make sure that it is mounted and the intended one; to empty the target, use rm")))
	}
}

// refuseDeferred fails the deferred changes whose path will not be free.
func (s *syncer) refuseDeferred() {
	refuse := func(which func(l *deferred) bool, why string) {
		s.deferred = slices.DeleteFunc(s.deferred, func(l *deferred) bool {
			if !which(l) {
				return false
			}
			what := "there is a file where a folder is needed"
			if l.folder {
				what = "there is a folder in the file's place"
			}
			s.failAt(l.Name, fault.New(problem.Conflict, "%s, %s", what, why).WithHint("move it away, or check its content"))
			return true
		})
	}
	refuse(func(l *deferred) bool { return l.stays }, "and something in it must not be removed")
	waits := func(l *deferred) bool { // something has to be removed for it
		return slices.ContainsFunc(s.extra, func(e compare.Entry) bool { return l.waitsFor(e.Name) })
	}
	refuse(func(l *deferred) bool { return !l.folder && !waits(l) }, "and it must not be removed")
	if s.failed.Load() > 0 {
		refuse(waits, "and nothing is removed because of the other errors")
	}
}

// applyDeferred makes the deferred changes. left are the names that could not be removed for them.
func (s *syncer) applyDeferred(ctx context.Context, left []string) {
	transfer.Each(ctx, s.workers(s.Parallel), slices.Values(s.deferred), func(l *deferred) {
		err := error(nil)
		switch {
		case slices.ContainsFunc(left, l.waitsFor):
			err = fault.New(problem.Conflict, "what is in its place could not be removed").WithHint("see the message about that")
		case l.folder && !s.DryRun:
			err = s.clear(l.Name)
		}
		if err != nil {
			s.failAt(l.Name, err)
			return
		}
		s.plan(1, l.change)
		s.apply(ctx, l.change)
	})
}

// clear removes a folder that contains only folders.
func (s *syncer) clear(name string) error {
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
			return fault.New(problem.Conflict, "the folder in its place is not empty: %s", path).WithHint("run the same command again")
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

// removeAll removes entries of the target and returns the names that could not be removed.
func (s *syncer) removeAll(ctx context.Context, entries []compare.Entry) (left []string) {
	var mu sync.Mutex // guards left
	transfer.Each(ctx, s.workers(removing), slices.Values(entries), func(e compare.Entry) {
		if err := s.remove(ctx, e); err != nil {
			s.fail(fault.Wrap(s.Target.At(e.Name), err))
			mu.Lock()
			defer mu.Unlock()
			left = append(left, e.Name)
			return
		}
		s.removed.Add(1)
		s.View.Changed(s.removal(e))
	})
	return left
}

func (s *syncer) remove(ctx context.Context, e compare.Entry) error {
	if e.File == nil {
		return s.removeLocal(e.Name)
	}
	if s.DryRun {
		return nil
	}
	err := s.Client.DeleteFile(ctx, e.File.FileID)
	if fault.ExitOf(err) == fault.NotFound {
		return nil // it was removed or replaced meanwhile; a newer file must not be removed
	}
	return err
}

// removeLocal removes a file and the parent folders that are then empty. Anything other than the listed file is kept.
func (s *syncer) removeLocal(name string) error {
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
			return inTheWay(at + " has changed since it was listed")
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
			break // not empty, or not permitted
		}
	}
	return nil
}
