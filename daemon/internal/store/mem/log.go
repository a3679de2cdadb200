package mem

import (
	"bytes"
	"context"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/logrule"
)

// metadataLog is the list of the segments, by number.
type metadataLog struct{ segments []store.LogSegment }

// newest returns the highest term and the highest number.
func (l *metadataLog) newest() (term, number uint64) {
	for _, s := range l.segments {
		term, number = max(term, s.Term), max(number, s.Number)
	}
	return term, number
}

// has reports whether the part is that of a segment.
func (l *metadataLog) has(id store.PartID) bool {
	return slices.ContainsFunc(l.segments, func(s store.LogSegment) bool { return s.Part.ID == id })
}

// LogSegments implements store.MetadataLog.
func (m *Metadata) LogSegments(ctx context.Context) (all []store.LogSegment, err error) {
	err = m.do(ctx, func(d *data) error {
		for _, s := range d.log.segments {
			s.Part = clonePart(s.Part)
			all = append(all, s)
		}
		return nil
	})
	return all, err
}

// LoggedTo implements store.MetadataLog.
func (m *Metadata) LoggedTo(ctx context.Context) (last store.Revision, err error) {
	err = m.do(ctx, func(d *data) error {
		if last = logrule.LoggedTo(d.log.segments); last == 0 {
			return logrule.ErrNoLog()
		}
		return nil
	})
	return last, err
}

// ChangeLog implements store.MetadataLog.
func (m *Metadata) ChangeLog(ctx context.Context, c store.LogChange) error {
	return m.do(ctx, func(d *data) error {
		l := &d.log
		term, number := l.newest()
		if err := logrule.Check(c, term, number); err != nil {
			return err
		}
		for _, s := range c.Add {
			if err := d.notDropped(s.Part.ID); err != nil {
				return err
			}
			if d.taken(s.Part.ID) {
				return store.Errorf(store.Conflict, "part %s exists already", s.Part.ID)
			}
		}
		for _, s := range c.Add {
			s.Part = clonePart(s.Part)
			l.segments = append(l.segments, s)
			d.repairMissing(s.Part)
		}
		l.segments = slices.DeleteFunc(l.segments, func(s store.LogSegment) bool {
			removed := slices.Contains(c.Remove, s.Number)
			if removed {
				d.reclaimPart(s.Part, "its segment of the metadata log was replaced")
			}
			return removed
		})
		return nil
	})
}

// FilesByID implements store.MetadataLog.
func (m *Metadata) FilesByID(ctx context.Context, ids []store.FileID) (batch store.FileBatch, err error) {
	if err := (store.ObjectQuery{Limit: len(ids)}).Validate(); err != nil {
		return batch, err
	}
	err = m.do(ctx, func(d *data) error {
		var files []store.File
		for _, id := range ids {
			if f, ok := d.files[id]; ok {
				files = append(files, f)
			}
		}
		batch = batchOf(files)
		return nil
	})
	return batch, err
}

// CompleteFiles implements store.MetadataLog.
func (m *Metadata) CompleteFiles(ctx context.Context, after store.FileID, limit int) (batch store.FileBatch, err error) {
	if err := (store.ObjectQuery{Limit: limit}).Validate(); err != nil {
		return batch, err
	}
	err = m.do(ctx, func(d *data) error {
		var files []store.File
		for _, f := range d.files {
			if f.State == store.Complete && bytes.Compare(f.ID[:], after[:]) > 0 {
				files = append(files, f)
			}
		}
		slices.SortFunc(files, compareIDs)
		more := len(files) > limit
		batch = batchOf(files[:min(limit, len(files))])
		batch.More = batch.More || more
		return nil
	})
	return batch, err
}

func compareIDs(a, b store.File) int { return bytes.Compare(a.ID[:], b.ID[:]) }

// batchOf sorts the files and ends the batch where they have too many parts. A file that is there twice is taken once.
func batchOf(files []store.File) store.FileBatch {
	slices.SortFunc(files, compareIDs)
	files = slices.CompactFunc(files, func(a, b store.File) bool { return a.ID == b.ID })
	batch := logrule.EndOfBatch(files)
	for i := range batch.Files {
		batch.Files[i] = cloneFile(batch.Files[i])
		batch.Files[i].Marks = nil
	}
	return batch
}

// AdoptCluster implements store.MetadataLog.
func (m *Metadata) AdoptCluster(ctx context.Context, id store.ClusterID) error {
	return m.do(ctx, func(d *data) error {
		if d.epoch > 0 && d.cluster != id {
			return logrule.ErrOtherCluster(id)
		}
		d.cluster = id
		return nil
	})
}

// Restore implements store.MetadataLog.
func (m *Metadata) Restore(ctx context.Context, records []store.LogRecord) error {
	return m.do(ctx, func(d *data) error {
		for _, r := range records {
			d.restore(r)
		}
		return nil
	})
}

func (d *data) restore(r store.LogRecord) {
	d.changes.seq = max(d.changes.seq, r.File.Seq)
	switch r.Kind {
	case store.FileStored:
		d.eraseFile(r.File.ID)
		d.restoreBucket(r.File.Bucket, r.File)
		d.hideLatest(r.File)
		r.File.State, r.File.Failure = store.Complete, ""
		d.saveFile(r.File)
	case store.FileMoved:
		f, ok := d.files[r.File.ID]
		if !ok {
			return
		}
		d.restoreBucket(r.File.Bucket, f)
		d.hideLatest(r.File)
		f.Bucket, f.Key, f.Latest, f.Seq, f.ChangedBy = r.File.Bucket, r.File.Key, r.File.Latest, r.File.Seq, r.File.ChangedBy
		d.files[f.ID] = f
	case store.FileShown:
		f, ok := d.files[r.File.ID]
		if ok && f.Bucket == r.File.Bucket && f.Key == r.File.Key {
			f.Latest = true
			d.hideLatest(f)
			d.files[f.ID] = f
		}
	case store.AttributesSet:
		if f, ok := d.files[r.File.ID]; ok {
			f.Attributes = r.File.Attributes.Clone()
			d.files[f.ID] = f
		}
	case store.KeyHidden:
		d.hideLatest(store.File{Bucket: r.File.Bucket, Key: r.File.Key, Latest: true})
	case store.FileRemoved:
		d.eraseFile(r.File.ID)
	case store.BucketStored:
		d.buckets[r.Bucket.Name], d.documents[r.Bucket.Name] = r.Bucket, cloneDocuments(r.Documents)
	case store.BucketGone:
		delete(d.documents, r.Bucket.Name)
		for _, f := range d.files {
			if f.Bucket == r.Bucket.Name {
				return
			}
		}
		delete(d.buckets, r.Bucket.Name)
	}
}

// hideLatest makes the latest file of the key of f not latest, where f is to be.
func (d *data) hideLatest(f store.File) {
	if other, ok := d.latest(f.Bucket, f.Key); ok && f.Latest && other.ID != f.ID {
		other.Latest = false
		d.files[other.ID] = other
	}
}

func (d *data) restoreBucket(name store.BucketName, f store.File) {
	if _, ok := d.buckets[name]; !ok {
		d.buckets[name] = store.Bucket{Name: name, CreatedAt: f.CreatedAt, Survive: store.SurviveDefault}
	}
}

func (d *data) eraseFile(id store.FileID) {
	for _, p := range d.files[id].Parts {
		delete(d.parts, p.ID)
	}
	delete(d.files, id)
	delete(d.deleted, id)
}
