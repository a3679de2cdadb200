package logwriter

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// snapshot is one in progress. It is not resumed by another leader, which begins again.
type snapshot struct {
	base   store.Revision // the tail was logged up to it when the snapshot began
	group  uint64         // of its pieces; 0 before the first
	pieces uint64
	files  int            // in a piece, at most
	after  store.FileID   // the last file that is in a piece
	listed bool           // all files are
	until  store.Revision // the newest change when the last file was read: the tail must have it before the snapshot counts
}

// beginSnapshot starts a snapshot, unless one is in progress.
func (l *Loop) beginSnapshot() {
	if l.snap == nil {
		l.snap = &snapshot{base: l.logged, files: l.cfg.PieceFiles}
	}
}

// continueSnapshot stores the next piece. more: the next one can follow at once.
func (l *Loop) continueSnapshot(ctx context.Context, out *upkeep.Outcome) (more bool, err error) {
	s := l.snap
	switch {
	case !s.listed:
		return true, l.writePiece(ctx, s, out)
	case l.logged < s.until:
		return false, nil // the tail follows within a second
	}
	_, err = l.store(ctx, segment{kind: store.SnapshotEnd, group: s.group, piece: s.pieces, first: s.base, last: s.base})
	if err != nil {
		return false, err
	}
	l.snap = nil
	l.cfg.Log.Info("a snapshot of the metadata was written to the nodes", "revision", s.base, "pieces", s.pieces)
	return true, nil
}

// writePiece stores the files that follow. The first piece has the buckets.
func (l *Loop) writePiece(ctx context.Context, s *snapshot, out *upkeep.Outcome) error {
	var records []store.LogRecord
	if s.pieces == 0 {
		var err error
		if records, err = l.buckets(ctx); err != nil {
			return err
		}
	}
	after, more := s.after, true
	for files, parts := 0, 0; more && files < s.files && parts < store.BatchParts; {
		batch, err := l.cfg.Meta.CompleteFiles(ctx, after, min(store.MaxListLimit, s.files-files))
		if err != nil {
			return err
		}
		for _, f := range batch.Files {
			records = append(records, store.LogRecord{Kind: store.FileStored, File: f})
			after = f.ID
			files, parts = files+1, parts+len(f.Parts)
		}
		more = batch.More
	}
	if !more {
		head, err := l.cfg.Meta.ChangeHead(ctx)
		if err != nil {
			return err
		}
		s.until = head
	}
	done, err := l.store(ctx, segment{kind: store.SnapshotSegment, group: s.group, piece: s.pieces, first: s.base, last: s.base, records: records})
	if errors.Is(err, errTooLarge) && s.files > 1 {
		s.files /= 2 // the next step tries again with fewer
		return nil
	}
	if err != nil {
		return err
	}
	if s.pieces == 0 {
		s.group = done.Group
	}
	s.after, s.listed = after, !more
	s.pieces++
	out.Bytes += done.Part.Size
	out.Items += int64(len(records))
	return nil
}
