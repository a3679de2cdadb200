package metalog

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Fold combines records, given in their order, into the fewest records with the same result. The records that it returns depend on each other
// no more: they may be applied in any order, but for buckets without files, which come last. It is for one goroutine.
type Fold struct {
	files   map[store.FileID]*store.LogRecord // FileStored, FileMoved, FileShown or FileRemoved
	attrs   map[store.FileID]store.LogRecord  // AttributesSet, of files whose other properties are not known
	buckets map[store.BucketName]store.LogRecord
	latest  map[object]store.FileID // of keys, where the records say it; zero: no file is
}

type object struct {
	bucket store.BucketName
	key    store.Key
}

func objectOf(f store.File) object { return object{f.Bucket, f.Key} }

// NewFold returns one without records.
func NewFold() *Fold {
	return &Fold{
		files: map[store.FileID]*store.LogRecord{}, attrs: map[store.FileID]store.LogRecord{},
		buckets: map[store.BucketName]store.LogRecord{}, latest: map[object]store.FileID{},
	}
}

// Add adds a record.
func (f *Fold) Add(r store.LogRecord) {
	switch r.Kind {
	case store.FileStored, store.FileRemoved:
		f.leave(r.File.ID)
		f.files[r.File.ID] = &r
		delete(f.attrs, r.File.ID)
	case store.AttributesSet:
		f.setAttributes(r)
		return
	case store.FileMoved:
		f.move(r)
	case store.FileShown:
		f.show(r)
	case store.KeyHidden:
		f.setLatest(store.File{Bucket: r.File.Bucket, Key: r.File.Key})
		return
	case store.BucketStored, store.BucketGone:
		f.buckets[r.Bucket.Name] = r
		return
	}
	if x := f.files[r.File.ID]; x != nil && x.Kind != store.FileRemoved && x.File.Latest {
		f.setLatest(x.File)
	}
}

// setAttributes changes what is known of the file, or notes the attributes where its other properties are not known.
func (f *Fold) setAttributes(r store.LogRecord) {
	switch x := f.files[r.File.ID]; {
	case x != nil && x.Kind == store.FileStored:
		x.File.Attributes = r.File.Attributes
	case x == nil || x.Kind != store.FileRemoved:
		f.attrs[r.File.ID] = r
	}
}

// move changes what is known of the file, or notes the move where its other properties are not known.
func (f *Fold) move(r store.LogRecord) {
	f.leave(r.File.ID)
	x := f.files[r.File.ID]
	switch {
	case x == nil || x.Kind == store.FileShown:
		f.files[r.File.ID] = &r
	case x.Kind != store.FileRemoved:
		to := &x.File
		to.Bucket, to.Key, to.Latest, to.Seq, to.ChangedBy = r.File.Bucket, r.File.Key, r.File.Latest, r.File.Seq, r.File.ChangedBy
	}
}

// show makes the file the latest of its key.
func (f *Fold) show(r store.LogRecord) {
	r.File.Latest = true
	x := f.files[r.File.ID]
	switch {
	case x == nil:
		f.files[r.File.ID] = &r
	case x.Kind != store.FileRemoved && objectOf(x.File) == objectOf(r.File):
		x.File.Latest = true
	}
}

// leave notes that the file leaves its key.
func (f *Fold) leave(id store.FileID) {
	x := f.files[id]
	if x == nil || x.Kind == store.FileRemoved {
		return
	}
	if at := objectOf(x.File); f.latest[at] == id {
		f.latest[at] = store.FileID{}
	}
}

// setLatest ends another file being the latest of the key.
func (f *Fold) setLatest(of store.File) {
	at := objectOf(of)
	other := f.latest[at]
	f.latest[at] = of.ID
	if other.IsZero() || other == of.ID {
		return
	}
	x := f.files[other]
	x.File.Latest = false
	if x.Kind == store.FileShown {
		delete(f.files, other) // the record of the one that is shown now hides it
	}
}

// Records returns the records: buckets by name, keys that show nothing, files by id, attributes by id, and buckets that no longer exist.
func (f *Fold) Records() (records []store.LogRecord) {
	names := slices.Sorted(maps.Keys(f.buckets))
	for _, name := range names {
		if r := f.buckets[name]; r.Kind == store.BucketStored {
			records = append(records, r)
		}
	}
	records = append(records, f.hidden()...)
	for _, id := range slices.SortedFunc(maps.Keys(f.files), compareIDs) {
		r := *f.files[id]
		if r.Kind == store.FileRemoved {
			r.File = store.File{ID: id}
		}
		records = append(records, r)
	}
	for _, id := range slices.SortedFunc(maps.Keys(f.attrs), compareIDs) {
		records = append(records, f.attrs[id])
	}
	for _, name := range names {
		if r := f.buckets[name]; r.Kind == store.BucketGone {
			records = append(records, r)
		}
	}
	return records
}

func compareIDs(a, b store.FileID) int { return bytes.Compare(a[:], b[:]) }

// hidden returns the keys that show nothing.
func (f *Fold) hidden() (records []store.LogRecord) {
	for at, id := range f.latest {
		if id.IsZero() {
			records = append(records, store.LogRecord{Kind: store.KeyHidden, File: store.File{Bucket: at.bucket, Key: at.key}})
		}
	}
	slices.SortFunc(records, func(a, b store.LogRecord) int {
		return cmp.Or(cmp.Compare(a.File.Bucket, b.File.Bucket), cmp.Compare(a.File.Key, b.File.Key))
	})
	return records
}
