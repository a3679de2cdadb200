package metalog

import "github.com/ringstore/ringstore/daemon/internal/store"

// Rows are rows of the metadata store that changes name, read after the changes. A row may therefore be newer than the changes.
type Rows struct {
	Files   map[store.FileID]store.File          // those that exist, with their parts
	Buckets map[store.BucketName]store.LogRecord // BucketStored, or BucketGone where it does not exist
}

// Needed returns the ids of the files whose rows Derive needs.
func Needed(changes []store.ObjectChange) (files []store.FileID, buckets []store.BucketName) {
	seen := map[store.FileID]bool{}
	named := map[store.BucketName]bool{}
	for _, c := range changes {
		switch {
		case c.Kind == store.BucketChanged && !named[c.Bucket]:
			named[c.Bucket] = true
			buckets = append(buckets, c.Bucket)
		case (c.Kind == store.FilePut || c.Kind == store.FileGone || c.Kind == store.FileChanged) && !seen[c.File]:
			seen[c.File] = true
			files = append(files, c.File)
		}
	}
	return files, buckets
}

// Derive returns the records that say what the changes did, as of the last of them: what never changes of a file comes from its row, its
// key and whether it is the latest from the changes alone, because the row may have changed since. So a version that was replaced after the last
// change is still recorded. Attributes come from the row, too, and may be newer than the changes: the change that set them follows.
//
// missing counts the files that were removed since, with their rows: they are recorded as removed.
func Derive(changes []store.ObjectChange, rows Rows) (records []store.LogRecord, missing int) {
	renamed, at := lastRenames(changes), map[store.FileID]object{}
	fold := NewFold()
	for i, c := range changes {
		removed := store.LogRecord{Kind: store.FileRemoved, File: store.File{ID: c.File}}
		switch c.Kind {
		case store.FilePut:
			at[c.File] = object{c.Bucket, c.Key}
			f, ok := rows.Files[c.File]
			if !ok || !whole(f) {
				missing++
				fold.Add(removed)
				continue
			}
			f.State, f.Failure, f.Bucket, f.Key, f.Latest, f.Seq, f.ChangedBy = store.Complete, "", c.Bucket, c.Key, true, c.Seq, c.Caller
			fold.Add(store.LogRecord{Kind: store.FileStored, File: f})
		case store.FileRenamed:
			at[c.File] = object{c.Bucket, c.Key}
			to := store.File{ID: c.File, Bucket: c.Bucket, Key: c.Key, Latest: true, Seq: c.Seq, ChangedBy: c.Caller}
			fold.Add(store.LogRecord{Kind: store.FileMoved, File: to})
		case store.FileReplaced:
			fold.Add(removed)
		case store.FileGone:
			here, known := at[c.File]
			left := renamed[c.File] > i || known && here != object{c.Bucket, c.Key} // it has another key by now, or will have
			if f, ok := rows.Files[c.File]; !left && (!ok || f.State != store.Complete) {
				fold.Add(removed)
			}
			if !c.Latest.IsZero() {
				fold.Add(store.LogRecord{Kind: store.FileShown, File: store.File{ID: c.Latest, Bucket: c.Bucket, Key: c.Key}})
			}
		case store.FileChanged:
			if f, ok := rows.Files[c.File]; ok && f.State == store.Complete {
				fold.Add(store.LogRecord{Kind: store.AttributesSet, File: store.File{ID: c.File, Attributes: f.Attributes}})
			}
		case store.BucketChanged:
			fold.Add(rows.Buckets[c.Bucket])
		}
	}
	return fold.Records(), missing
}

// lastRenames returns the index of the last rename of each file that was renamed.
func lastRenames(changes []store.ObjectChange) map[store.FileID]int {
	last := map[store.FileID]int{}
	for i, c := range changes {
		if c.Kind == store.FileRenamed {
			last[c.File] = i
		}
	}
	return last
}

// whole reports whether the row still has all of the file: the parts of a file that was deleted are removed step by step.
func whole(f store.File) bool {
	var size int64
	for _, p := range f.Parts {
		size += p.Size
	}
	return size == f.Size && (f.State == store.Complete || f.State == store.Deleted)
}

// CompletePrefix returns how many of the changes, from the first on, can be recorded on their own when others follow them: a replaced file
// is recorded together with its successor, and a file that left a key together with its arrival under another. At least one.
func CompletePrefix(changes []store.ObjectChange, rows Rows) int {
	renamed, put := lastRenames(changes), map[object]int{}
	for i, c := range changes {
		if c.Kind == store.FilePut || c.Kind == store.FileRenamed {
			put[object{c.Bucket, c.Key}] = i
		}
	}
	for i, c := range changes {
		last, found := put[object{c.Bucket, c.Key}]
		replaced := c.Kind == store.FileReplaced && (!found || last < i)
		left := c.Kind == store.FileGone && renamed[c.File] <= i && rows.Files[c.File].State == store.Complete
		if replaced || left {
			return max(i, 1)
		}
	}
	return len(changes)
}
