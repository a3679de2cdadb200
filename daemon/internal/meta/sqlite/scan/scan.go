// Package scan reads the rows of files, parts, sessions and log segments that the queries of the metadata store list.
package scan

import (
	"database/sql"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// File reads the columns that the queries list a file as, and further ones that follow them.
func File(rows *sql.Rows, more ...any) (f store.File, err error) {
	var bucket string
	var id, key []byte
	var created, completed, crc int64
	var meta, attributes []byte
	err = rows.Scan(append([]any{
		&bucket, &id, &key, &f.Size, &f.ContentType, &f.State, &f.Latest, &f.DeleteMarker,
		&created, &completed, &crc, &f.SHA256, &f.ETag, &meta, &f.Failure, &f.ChangedBy, &f.Seq, &attributes,
	}, more...)...)
	if err != nil {
		return f, err
	}
	f.ID, f.Bucket, f.Key = store.FileID(id), store.BucketName(bucket), store.Key(key)
	f.CreatedAt, f.CompletedAt, f.CRC64 = db.FromMicros(created), db.FromMicros(completed), uint64(crc)
	if f.Meta, err = pack.ParseStrings(meta); err != nil {
		return f, err
	}
	f.Attributes, err = pack.ReadAttributes(attributes)
	return f, err
}

// Listed reads the columns of a file in a listing of objects of the bucket: the others are the same for all its latest files.
func Listed(rows *sql.Rows, bucket store.BucketName) (*store.File, error) {
	f := &store.File{Bucket: bucket, State: store.Complete, Latest: true}
	var id, key, meta, attributes sql.RawBytes
	var created, completed, crc int64
	err := rows.Scan(&id, &key, &f.Size, &f.ContentType, &created, &completed, &crc, &f.SHA256, &f.ETag, &meta, &f.ChangedBy, &f.Seq, &attributes)
	if err != nil {
		return nil, err
	}
	f.ID, f.Key = store.FileID(id), store.Key(key)
	f.CreatedAt, f.CompletedAt, f.CRC64 = db.FromMicros(created), db.FromMicros(completed), uint64(crc)
	if f.Meta, err = pack.ParseStrings(meta); err != nil {
		return nil, err
	}
	f.Attributes, err = pack.ReadAttributes(attributes)
	return f, err
}

// Files reads rows of files.
func Files(rows *sql.Rows) (files []store.File, err error) {
	err = db.Each(rows, func() error {
		f, err := File(rows)
		files = append(files, f)
		return err
	})
	return files, err
}

// Parts reads the columns that the queries list a part as.
func Parts(rows *sql.Rows) (parts []store.Part, err error) {
	err = db.Each(rows, func() error {
		p, err := Part(rows)
		parts = append(parts, p)
		return err
	})
	return parts, err
}

// Part reads those columns, and further ones that follow them.
func Part(rows *sql.Rows, more ...any) (store.Part, error) {
	var row partRow
	if err := rows.Scan(append(row.columns(), more...)...); err != nil {
		return store.Part{}, err
	}
	return row.part()
}

// partRow is a row of the table parts.
type partRow struct {
	p                          store.Part
	id, nodes, sums, checksums []byte
	crc                        int64
}

func (r *partRow) columns() []any {
	return []any{&r.id, &r.p.Number, &r.p.Size, &r.p.K, &r.p.M, &r.p.UnitSize, &r.crc, &r.nodes, &r.sums, &r.checksums}
}

func (r *partRow) part() (p store.Part, err error) {
	p = r.p
	p.ID, p.CRC64 = store.PartID(r.id), uint64(r.crc)
	if p.Chunks, err = pack.Unpack(r.nodes, r.sums); err != nil {
		return p, err
	}
	p.Checksums, err = pack.ReadChecksums(r.checksums)
	return p, err
}

// FileAndPart reads a file with its marks, and the part that follows, which may be null.
func FileAndPart(rows *sql.Rows) (store.File, error) {
	var marks []byte
	var row partRow
	f, err := File(rows, append([]any{&marks}, row.columns()...)...)
	if err != nil {
		return f, err
	}
	if f.Marks, err = pack.ReadMarks(marks); err != nil || row.id == nil {
		return f, err
	}
	p, err := row.part()
	f.Parts = []store.Part{p}
	return f, err
}
