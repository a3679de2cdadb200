// Package scan reads the rows of files and parts that the queries of the metadata store list.
package scan

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The queries list a file as FileColumns columns (bucket name, id, key, size, content_type,
// state, latest, delete_marker, created_at, completed_at, crc64, sha256, etag, meta, failure, changed_by, seq, attributes)
// and then, where they have parts, the marks, and a part as PartColumns (id, number, size, k, m, unit_size, crc64, nodes, sums, checksums).
const (
	FileColumns = 18
	FileID      = 1 // the column that is null in a row without a file
	PartColumns = 10
)

// File is the target of the columns of one file.
type File struct {
	bucket      string
	file        store.File
	key         []byte
	state       int16
	completedAt *time.Time
	crc64       int64
	meta        []byte
	attributes  []byte
}

// Append adds the targets of the columns to dst.
func (s *File) Append(dst []any) []any {
	f := &s.file
	return append(dst, &s.bucket, (*[16]byte)(&f.ID), &s.key, &f.Size, &f.ContentType, &s.state, &f.Latest, &f.DeleteMarker,
		&f.CreatedAt, &s.completedAt, &s.crc64, &f.SHA256, &f.ETag, &s.meta, &f.Failure, &f.ChangedBy, &f.Seq, &s.attributes)
}

// Result is the file that was scanned.
func (s *File) Result() (store.File, error) {
	f := s.file
	f.Bucket, f.Key, f.State, f.CRC64 = store.BucketName(s.bucket), store.Key(s.key), store.FileState(s.state), uint64(s.crc64)
	f.CreatedAt = f.CreatedAt.UTC()
	if s.completedAt != nil {
		f.CompletedAt = s.completedAt.UTC()
	}
	if s.meta != nil {
		if err := json.Unmarshal(s.meta, &f.Meta); err != nil {
			return f, store.Errorf(store.Internal, "metadata of file %s is malformed: %w", f.ID, err)
		}
	}
	var err error
	f.Attributes, err = pack.ReadAttributes(s.attributes)
	return f, err
}

// Part is the target of the columns of one part.
type Part struct {
	part        store.Part
	crc64       int64
	nodes, sums []byte
	checksums   []byte
}

// Append adds the targets of the columns to dst.
func (s *Part) Append(dst []any) []any {
	p := &s.part
	return append(dst, (*[16]byte)(&p.ID), &p.Number, &p.Size, &p.K, &p.M, &p.UnitSize, &s.crc64, &s.nodes, &s.sums, &s.checksums)
}

// Result is the part that was scanned. Another row may be scanned afterwards.
func (s *Part) Result() (store.Part, error) {
	p := s.part
	p.CRC64 = uint64(s.crc64)
	var err error
	if p.Chunks, err = pack.Unpack(s.nodes, s.sums); err != nil {
		return p, err
	}
	p.Checksums, err = pack.ReadChecksums(s.checksums)
	s.nodes, s.sums, s.checksums = nil, nil, nil
	return p, err
}

// ReadPart reads a row of a part alone.
func ReadPart(row pgx.CollectableRow) (store.Part, error) {
	var part Part
	if err := row.Scan(part.Append(make([]any, 0, PartColumns))...); err != nil {
		return store.Part{}, err
	}
	return part.Result()
}

// OneFile reads rows of one file, each with one of its parts, in any order, or a single one without.
func OneFile(rows pgx.Rows) (f store.File, err error) {
	defer rows.Close()
	var file File
	var part Part
	var marks []byte
	targets := part.Append(append(file.Append(make([]any, 0, FileColumns+1+PartColumns)), &marks))
	var parts []store.Part
	for n := 0; rows.Next(); n++ {
		if rows.RawValues()[FileColumns+1] == nil {
			clear(targets[FileColumns:]) // the only row, of a file without parts
			if err := rows.Scan(targets...); err != nil {
				return f, err
			}
			continue
		}
		if err := rows.Scan(targets...); err != nil {
			return f, err
		}
		if n == 0 {
			clear(targets[:FileColumns+1]) // the other rows repeat the file
		}
		p, err := part.Result()
		if err != nil {
			return f, err
		}
		parts = append(parts, p)
	}
	if err := rows.Err(); err != nil {
		return f, err
	}
	if file.file.ID.IsZero() {
		return f, pgx.ErrNoRows
	}
	if f, err = file.Result(); err != nil {
		return f, err
	}
	slices.SortFunc(parts, func(a, b store.Part) int { return cmp.Compare(a.Number, b.Number) })
	f.Parts = parts
	f.Marks, err = pack.ReadMarks(marks)
	return f, err
}

// Files reads rows of files.
func Files(rows pgx.Rows) (files []store.File, err error) {
	defer rows.Close()
	var file File // each row gets bytes and strings of its own
	targets := file.Append(make([]any, 0, FileColumns))
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		f, err := file.Result()
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, rows.Err()
}
