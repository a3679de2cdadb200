// Package scan reads the rows of files and parts that the queries of the metadata store list.
package scan

import (
	"cmp"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The queries list a file as FileColumns columns (bucket name, id, key, size, content_type,
// state, latest, delete_marker, created_at, completed_at, crc64, sha256, etag, meta, failure, changed_by, seq, attributes)
// and then, where they have parts, the marks, and a part as PartColumns (id, number, size, k, m, unit_size, crc64, nodes, sums, checksums).
const (
	FileColumns = 18
	PartColumns = 10
)

// File reads the columns of a file. Texts that are equal to those of the file like, the one of the row before, are shared with it.
func (r *Row) File(like *store.File) store.File {
	return store.File{
		Bucket:       store.BucketName(r.TextLike(string(like.Bucket))),
		ID:           r.UUID(),
		Key:          store.Key(r.Text()),
		Size:         r.Int(),
		ContentType:  r.TextLike(like.ContentType),
		State:        store.FileState(r.Int()),
		Latest:       r.Bool(),
		DeleteMarker: r.Bool(),
		CreatedAt:    r.Time(),
		CompletedAt:  r.Time(),
		CRC64:        uint64(r.Int()),
		SHA256:       r.Bytes(),
		ETag:         r.Text(),
		Meta:         r.Strings(),
		Failure:      r.Text(),
		ChangedBy:    r.TextLike(like.ChangedBy),
		Seq:          uint64(r.Int()),
		Attributes:   r.Attributes(),
	}
}

// Part reads the columns of a part.
func (r *Row) Part() store.Part {
	p := store.Part{
		ID:       r.UUID(),
		Number:   int(r.Int()),
		Size:     r.Int(),
		K:        int(r.Int()),
		M:        int(r.Int()),
		UnitSize: int(r.Int()),
		CRC64:    uint64(r.Int()),
	}
	nodes := r.next()
	p.Chunks = decode(r, func(sums []byte) ([]store.Placement, error) { return pack.Unpack(nodes, sums) })
	p.Checksums = decode(r, pack.ReadChecksums)
	return p
}

// Strings reads a column that has a JSON object of strings, which the server sends as text.
func (r *Row) Strings() map[string]string { return decode(r, pack.ParseStrings) }

// Attributes reads the column of attributes.
func (r *Row) Attributes() attr.Set { return decode(r, pack.ReadAttributes) }

// ReadPart reads a row of a part alone.
func ReadPart(row pgx.CollectableRow) (store.Part, error) {
	r := Of(row)
	p := r.Part()
	return p, r.End()
}

// OneFile reads rows of one file, each with one of its parts, in any order, or a single one without. pgx.ErrNoRows without rows.
func OneFile(rows pgx.Rows) (f store.File, err error) {
	found := false
	err = Each(rows, func(r *Row) {
		if found {
			r.Skip(FileColumns + 1) // the other rows repeat the file
		} else {
			f, found = r.File(&store.File{}), true
			f.Marks = decode(r, pack.ReadMarks)
		}
		if r.Null() {
			r.Skip(PartColumns) // the only row, of a file without parts
		} else {
			f.Parts = append(f.Parts, r.Part())
		}
	})
	if err == nil && !found {
		err = pgx.ErrNoRows
	}
	slices.SortFunc(f.Parts, func(a, b store.Part) int { return cmp.Compare(a.Number, b.Number) })
	return f, err
}

// Files reads rows of files.
func Files(rows pgx.Rows) (files []store.File, err error) {
	like := &store.File{}
	err = Each(rows, func(r *Row) {
		files = append(files, r.File(like))
		like = &files[len(files)-1]
	})
	return files, err
}

// A listing of objects has entryColumns of a file (id, key, size, content_type, created_at, completed_at, crc64, sha256, etag, meta,
// changed_by, seq, attributes): the others are the same for all latest files of a bucket.
const entryColumns = 13

// listed reads the columns of a file in a listing of objects of the bucket. like as in File.
func (r *Row) listed(bucket store.BucketName, like *store.File) store.File {
	return store.File{
		Bucket:      bucket,
		State:       store.Complete,
		Latest:      true,
		ID:          r.UUID(),
		Key:         store.Key(r.Text()),
		Size:        r.Int(),
		ContentType: r.TextLike(like.ContentType),
		CreatedAt:   r.Time(),
		CompletedAt: r.Time(),
		CRC64:       uint64(r.Int()),
		SHA256:      r.Bytes(),
		ETag:        r.Text(),
		Meta:        r.Strings(),
		ChangedBy:   r.TextLike(like.ChangedBy),
		Seq:         uint64(r.Int()),
		Attributes:  r.Attributes(),
	}
}

// block is how many entries of a page get their files in one allocation.
const block = 64

// Entries reads a listing of objects of the bucket: rows of files, rows of common prefixes, which have only a key, and one of nulls, which
// stands for the bucket. It sorts them by name. found tells whether there was any row. most is how many entries there can be.
func Entries(rows pgx.Rows, bucket store.BucketName, most int) (entries []store.Entry, found bool, err error) {
	var files []store.File
	like := &store.File{}
	err = Each(rows, func(r *Row) {
		if !found {
			found, entries = true, make([]store.Entry, 0, most)
		}
		if id, key := r.columns[0], r.columns[1]; id == nil {
			if key != nil {
				entries = append(entries, store.Entry{Name: string(key)})
			}
			r.Skip(entryColumns)
			return
		}
		if len(files) == cap(files) {
			files = make([]store.File, 0, min(block, max(1, most-len(entries))))
		}
		files = append(files, r.listed(bucket, like))
		like = &files[len(files)-1]
		entries = append(entries, store.Entry{Name: string(like.Key), File: like})
	})
	// They arrive in order, though the statement does not guarantee it; sorting a sorted slice is one pass.
	slices.SortFunc(entries, func(a, b store.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, found, err
}
