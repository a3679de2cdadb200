package postgres

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The queries list a file as fileColumns columns (bucket name, id, key, size, content_type,
// state, latest, delete_marker, created_at, completed_at, crc64, sha256, etag, meta, failure, changed_by, seq)
// and then, where they have parts, the marks, and a part as partColumns (id, number, size, k, m, unit_size, crc64, nodes, sums, checksums).
const (
	fileColumns = 17
	fileID      = 1 // the column that is null in a row without a file
	partColumns = 10
)

// fileScan is the target of the columns of one file.
type fileScan struct {
	bucket      string
	file        store.File
	key         []byte
	state       int16
	completedAt *time.Time
	crc64       int64
	meta        []byte
}

// append adds the targets of the columns to dst.
func (s *fileScan) append(dst []any) []any {
	f := &s.file
	return append(dst, &s.bucket, (*[16]byte)(&f.ID), &s.key, &f.Size, &f.ContentType, &s.state, &f.Latest, &f.DeleteMarker,
		&f.CreatedAt, &s.completedAt, &s.crc64, &f.SHA256, &f.ETag, &s.meta, &f.Failure, &f.ChangedBy, &f.Seq)
}

// result is the file that was scanned.
func (s *fileScan) result() (store.File, error) {
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
	return f, nil
}

// partScan is the target of the columns of one part.
type partScan struct {
	part        store.Part
	crc64       int64
	nodes, sums []byte
	checksums   []byte
}

func (s *partScan) append(dst []any) []any {
	p := &s.part
	return append(dst, (*[16]byte)(&p.ID), &p.Number, &p.Size, &p.K, &p.M, &p.UnitSize, &s.crc64, &s.nodes, &s.sums, &s.checksums)
}

func (s *partScan) result() (store.Part, error) {
	p := s.part
	p.CRC64 = uint64(s.crc64)
	var err error
	if p.Chunks, err = pack.Unpack(s.nodes, s.sums); err != nil {
		return p, err
	}
	p.Checksums, err = pack.ReadChecksums(s.checksums)
	return p, err
}

// scanPart reads a row of a part alone.
func scanPart(row pgx.CollectableRow) (store.Part, error) {
	var part partScan
	if err := row.Scan(part.append(make([]any, 0, partColumns))...); err != nil {
		return store.Part{}, err
	}
	return part.result()
}

// collectFile reads rows of one file, each with one of its parts, or a single one without.
func collectFile(rows pgx.Rows) (f store.File, err error) {
	defer rows.Close()
	var file fileScan
	var part partScan
	var marks []byte
	targets := part.append(append(file.append(make([]any, 0, fileColumns+1+partColumns)), &marks))
	withoutPart := append(file.append(make([]any, 0, fileColumns+1+partColumns)), make([]any, 1+partColumns)...)
	var parts []store.Part
	for n := 0; rows.Next(); n++ {
		if rows.RawValues()[fileColumns+1] == nil {
			if err := rows.Scan(withoutPart...); err != nil {
				return f, err
			}
			continue
		}
		if err := rows.Scan(targets...); err != nil {
			return f, err
		}
		if n == 0 {
			clear(targets[:fileColumns+1]) // the other rows repeat the file
		}
		p, err := part.result()
		if err != nil {
			return f, err
		}
		parts = append(parts, p)
		part.nodes, part.sums, part.checksums = nil, nil, nil
	}
	if err := rows.Err(); err != nil {
		return f, err
	}
	if file.file.ID.IsZero() {
		return f, pgx.ErrNoRows
	}
	if f, err = file.result(); err != nil {
		return f, err
	}
	f.Parts = parts
	f.Marks, err = pack.ReadMarks(marks)
	return f, err
}

// collectFiles reads rows of files.
func collectFiles(rows pgx.Rows) (files []store.File, err error) {
	defer rows.Close()
	for rows.Next() {
		var file fileScan
		if err := rows.Scan(file.append(make([]any, 0, fileColumns))...); err != nil {
			return nil, err
		}
		f, err := file.result()
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, rows.Err()
}
