package syncer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/rest"
)

// apply transfers a file, unless the checksums are equal. Everything that can be refused before a byte is transferred is refused
// before --dry-run ends.
func (s *syncer) apply(ctx context.Context, c change) {
	err := s.compareSums(ctx, &c)
	if err == nil && c.reason == "" {
		s.plan(-1, c)
		s.unchanged.Add(1)
		return
	}
	if err == nil {
		err = s.ready(c)
	}
	f := rest.File{Size: c.Left.Size}
	if err == nil && !s.DryRun {
		manager, end := s.View.Start(s.Source.At(c.Name), c.Left.Size)
		f, err = s.transfer(ctx, manager, c)
		end(err)
	} else {
		s.plan(-1, c)
	}
	switch {
	case err == nil:
		s.changes.Add(1)
		s.bytes.Add(f.Size)
		s.View.Changed(s.changed(c, f))
	case s.vanished(ctx, c, err):
		c.Left.Why = compare.Vanished
		s.skip(s.Source, c.Left)
	default:
		s.failAt(c.Name, err)
	}
}

// compareSums decides by checksums if the reason is still open: it stays "" if they are equal.
func (s *syncer) compareSums(ctx context.Context, c *change) error {
	if c.reason != "" {
		return nil
	}
	left, err := c.Left.Sum(ctx)
	if err != nil {
		return err
	}
	right, err := c.Right.Sum(ctx)
	if err != nil || left == right {
		return err
	}
	c.reason = "checksum"
	if c.Right.State == compare.Unknown {
		return inTheWay(c.Right.Why)
	}
	return nil
}

// ready returns why a file cannot be transferred, as far as this can be known in advance.
func (s *syncer) ready(c change) error {
	if s.Source.Local() {
		if err := readable(c.Left.Path); err != nil {
			return err
		}
	}
	if !s.Target.Local() {
		return nil
	}
	return s.writable(c.Name)
}

// readable checks that a file can be opened. It does not block if the file was replaced by a pipe.
func readable(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// transfer uploads, downloads or copies a file.
func (s *syncer) transfer(ctx context.Context, manager *transfer.Manager, c change) (rest.File, error) {
	if s.Source.Local() {
		return manager.PutFile(ctx, c.Left.Path, s.Target.Object(c.Name))
	}
	fetch := func(f rest.File) (rest.File, error) { return manager.CopyFile(ctx, f, s.Target.Object(c.Name)) }
	if s.Target.Local() {
		root, err := s.openRoot()
		if err != nil {
			return rest.File{}, err
		}
		fetch = func(f rest.File) (rest.File, error) {
			return f, manager.GetFile(ctx, f, root, filepath.FromSlash(c.Name))
		}
	}
	f, err := fetch(*c.Left.File)
	if mayBeGone(err) { // the object that was listed may have been replaced
		now, failed := s.Client.Latest(ctx, c.Left.File.Bucket, c.Left.File.Name)
		if failed == nil && now.FileID != c.Left.File.FileID {
			return fetch(now)
		}
	}
	return f, err
}

// vanished reports whether err only means that the file was removed after it was listed.
func (s *syncer) vanished(ctx context.Context, c change, err error) bool {
	if !mayBeGone(err) {
		return false
	}
	if c.Left.File != nil {
		_, err = s.Client.Latest(ctx, c.Left.File.Bucket, c.Left.File.Name)
		return fault.ExitOf(err) == fault.NotFound
	}
	_, err = os.Lstat(c.Left.Path)
	return absent(err)
}

func mayBeGone(err error) bool {
	exit := fault.ExitOf(err)
	return err != nil && (exit == fault.NotFound || exit == fault.Conflict)
}

// absent reports whether err means that the path does not exist.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// openRoot opens the local target as a root that no name can leave, on first use.
func (s *syncer) openRoot() (*os.Root, error) {
	s.once.Do(func() {
		if s.rootErr = os.MkdirAll(s.Target.Dir, 0o777); s.rootErr == nil {
			s.root, s.rootErr = os.OpenRoot(s.Target.Dir)
		}
		if s.rootErr != nil {
			s.rootErr = fmt.Errorf("open the target folder: %w", s.rootErr)
		}
	})
	return s.root, s.rootErr
}
