package sqlite

import (
	"database/sql"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// scanFile reads the columns that the queries list a file as, and further ones that follow them.
func scanFile(rows *sql.Rows, more ...any) (f store.File, err error) {
	var bucket string
	var id, key []byte
	var created, completed, crc int64
	var meta []byte
	err = rows.Scan(append([]any{
		&bucket, &id, &key, &f.Size, &f.ContentType, &f.State, &f.Latest, &f.DeleteMarker,
		&created, &completed, &crc, &f.SHA256, &f.ETag, &meta, &f.Failure, &f.ChangedBy, &f.Seq,
	}, more...)...)
	if err != nil {
		return f, err
	}
	f.ID, f.Bucket, f.Key = store.FileID(id), store.BucketName(bucket), store.Key(key)
	f.CreatedAt, f.CompletedAt, f.CRC64 = db.FromMicros(created), db.FromMicros(completed), uint64(crc)
	f.Meta, err = pack.ParseStrings(meta)
	return f, err
}

func scanFiles(rows *sql.Rows) (files []store.File, err error) {
	err = db.Each(rows, func() error {
		f, err := scanFile(rows)
		files = append(files, f)
		return err
	})
	return files, err
}

// scanParts reads the columns that the queries list a part as.
func scanParts(rows *sql.Rows) (parts []store.Part, err error) {
	err = db.Each(rows, func() error {
		p, err := scanPart(rows)
		parts = append(parts, p)
		return err
	})
	return parts, err
}

// scanPart reads those columns, and further ones that follow them.
func scanPart(rows *sql.Rows, more ...any) (p store.Part, err error) {
	var id, nodes, sums, checksums []byte
	var crc int64
	if err := rows.Scan(append([]any{&id, &p.Number, &p.Size, &p.K, &p.M, &p.UnitSize, &crc, &nodes, &sums, &checksums}, more...)...); err != nil {
		return p, err
	}
	p.ID, p.CRC64 = store.PartID(id), uint64(crc)
	if p.Chunks, err = pack.Unpack(nodes, sums); err != nil {
		return p, err
	}
	p.Checksums, err = pack.ReadChecksums(checksums)
	return p, err
}
