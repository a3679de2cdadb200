package mem

import (
	"context"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// changeLog are the changes of objects.
type changeLog struct {
	head store.Revision
	kept []store.ObjectChange // by revision, up to head
	seq  uint64               // the highest File.Seq
}

// nextSeq is the place of a file among the versions of its key.
func (d *data) nextSeq() uint64 {
	d.changes.seq++
	return d.changes.seq
}

// record stores a change of the file, which is complete before or after it; sign is 1 where the file was added to
// its bucket, and -1 where it was removed.
func (d *data) record(kind store.ChangeKind, f store.File, latest store.FileID, sign int64, caller string) {
	var seq uint64
	if sign > 0 {
		seq = f.Seq
	}
	d.appendChange(store.ObjectChange{
		Kind: kind, Seq: seq, Bucket: f.Bucket, Key: f.Key, File: f.ID, Latest: latest, Bytes: sign * f.Size, Files: sign, Caller: caller,
	})
}

// recordBucket stores a change of the bucket itself, and its event.
func (d *data) recordBucket(event string, name store.BucketName, caller string) {
	d.appendChange(store.ObjectChange{Kind: store.BucketChanged, Bucket: name, Caller: caller})
	d.tell(eventof.Bucket(event, name, caller))
}

func (d *data) appendChange(c store.ObjectChange) {
	l := &d.changes
	l.head++
	c.Revision, c.At = l.head, d.now()
	l.kept = append(l.kept, c)
}

// ChangesAfter implements store.Changes.
func (m *Metadata) ChangesAfter(ctx context.Context, after store.Revision, limit int) (page store.ChangePage, err error) {
	if err := store.ValidChanges(limit); err != nil {
		return page, err
	}
	err = m.do(ctx, func(d *data) error {
		from, _ := slices.BinarySearchFunc(d.changes.kept, after+1, func(c store.ObjectChange, r store.Revision) int { return int(c.Revision) - int(r) })
		page = store.ChangePage{Changes: slices.Clone(d.changes.kept[from:min(from+limit, len(d.changes.kept))]), Head: d.changes.head}
		page, err = page.Checked(after)
		return err
	})
	return page, err
}

// ChangeHead implements store.Changes.
func (m *Metadata) ChangeHead(ctx context.Context) (head store.Revision, err error) {
	err = m.do(ctx, func(d *data) error {
		head = d.changes.head
		return nil
	})
	return head, err
}

// TrimChanges implements store.Changes.
func (m *Metadata) TrimChanges(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	err = m.do(ctx, func(d *data) error {
		oldest := time.Time{}
		if keep.Age > 0 {
			oldest = d.now().Add(-keep.Age)
		}
		for trimmed < min(limit, len(d.changes.kept)) {
			surplus := keep.Count > 0 && len(d.changes.kept)-trimmed > keep.Count
			if !surplus && !d.changes.kept[trimmed].At.Before(oldest) {
				break
			}
			trimmed++
		}
		d.changes.kept = slices.Delete(d.changes.kept, 0, trimmed)
		return nil
	})
	return trimmed, err
}

// Usages implements store.Buckets, by counting.
func (m *Metadata) Usages(ctx context.Context) (all map[store.BucketName]store.Usage, err error) {
	err = m.do(ctx, func(d *data) error {
		all = make(map[store.BucketName]store.Usage, len(d.buckets))
		for name := range d.buckets {
			all[name] = store.Usage{}
		}
		for _, f := range d.files {
			if u, ok := all[f.Bucket]; ok && f.State == store.Complete {
				all[f.Bucket] = store.Usage{Bytes: u.Bytes + f.Size, Files: u.Files + 1}
			}
		}
		return nil
	})
	return all, err
}

// Usage implements store.Buckets, by counting.
func (m *Metadata) Usage(ctx context.Context, name store.BucketName) (u store.Usage, err error) {
	err = m.do(ctx, func(d *data) error {
		for _, f := range d.files {
			if f.Bucket == name && f.State == store.Complete {
				u.Bytes, u.Files = u.Bytes+f.Size, u.Files+1
			}
		}
		_, err := d.bucket(name)
		return err
	})
	return u, err
}
