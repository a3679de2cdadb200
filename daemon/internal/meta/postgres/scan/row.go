package scan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Row reads the columns of a row from left to right, from the bytes that the server sent: text as it is, everything else in
// the server's binary format (PostgreSQL documentation, "Message Formats", and the send functions of the types). A column that is
// not of the type that is read ends the reading: what follows is zero, and End has the error. What a method returns is not part
// of the row's buffer. A null is the zero value where the method says nothing else.
//
// The general Scan of the driver looks for the way from each type to each target, which took most of the time of a listing.
// Results in text format are recognized by their ids, which every row has: they have another length then.
type Row struct {
	columns [][]byte
	at      int // the next column
	err     error
}

// Of returns the reader of a row. It may be used until the next row is asked for.
func Of(row pgx.CollectableRow) Row { return Row{columns: row.RawValues()} }

// End tells whether all columns were read and each was what was asked for. Internal.
func (r *Row) End() error {
	if r.err == nil && r.at != len(r.columns) {
		return store.Errorf(store.Internal, "a row of %d columns was read to the column %d", len(r.columns), r.at)
	}
	return r.err
}

// Each gives each of the rows to f, which reads all of its columns, and closes them.
func Each(rows pgx.Rows, f func(r *Row)) error {
	defer rows.Close()
	for rows.Next() {
		r := Of(rows)
		f(&r)
		if err := r.End(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Skip skips n columns.
func (r *Row) Skip(n int) { r.at += n }

// Null tells whether the next column is null, without reading it.
func (r *Row) Null() bool { return r.at < len(r.columns) && r.columns[r.at] == nil }

// next returns the next column, nil where it is null.
func (r *Row) next() []byte {
	if r.err != nil {
		return nil
	}
	if r.at >= len(r.columns) {
		r.fail("is missing")
		return nil
	}
	r.at++
	return r.columns[r.at-1]
}

func (r *Row) fail(format string, args ...any) {
	r.err = store.Errorf(store.Internal, "column %d of a row of the database %s", r.at, fmt.Sprintf(format, args...))
}

// Text reads a column of type text.
func (r *Row) Text() string { return string(r.next()) }

// TextLike reads a column of type text, and returns the string last where they are equal, as in most rows of a list.
func (r *Row) TextLike(last string) string {
	if b := r.next(); string(b) != last {
		return string(b)
	}
	return last
}

// Bytes reads a column of type bytea; nil where it is null.
func (r *Row) Bytes() []byte { return bytes.Clone(r.next()) }

// Int reads a column of type smallint, integer or bigint.
func (r *Row) Int() int64 {
	switch b := r.next(); len(b) {
	case 0: // null
		return 0
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b)))
	case 8:
		return int64(binary.BigEndian.Uint64(b))
	default:
		r.fail("has %d bytes, which no integer has", len(b))
		return 0
	}
}

// Bool reads a column of type boolean.
func (r *Row) Bool() bool {
	b := r.next()
	if len(b) > 1 || len(b) == 1 && b[0] > 1 {
		r.fail("is not a boolean")
	}
	return len(b) == 1 && b[0] == 1
}

// UUID reads a column of type uuid.
func (r *Row) UUID() (id [16]byte) {
	if b := r.next(); copy(id[:], b) != len(b) || b != nil && len(b) != len(id) {
		r.fail("has %d bytes, an id has %d", len(b), len(id))
	}
	return id
}

// epoch is the time that the server counts microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// Time reads a column of type timestamptz, as UTC; the zero time where it is null. The infinite times do not occur.
func (r *Row) Time() time.Time {
	switch b := r.next(); len(b) {
	case 0: // null
		return time.Time{}
	case 8:
		return time.UnixMicro(epoch + int64(binary.BigEndian.Uint64(b))).UTC()
	default:
		r.fail("has %d bytes, a time has 8", len(b))
		return time.Time{}
	}
}

// decode gives the bytes of the next column to a decoder, which must not keep them.
func decode[T any](r *Row, from func([]byte) (T, error)) (value T) {
	b := r.next()
	if r.err != nil {
		return value
	}
	value, r.err = from(b)
	return value
}
