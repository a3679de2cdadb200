package scan

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// sent is what the server sends for a value, as the driver encodes it for the server.
func sent(t *testing.T, oid uint32, value any) []byte {
	t.Helper()
	format := int16(pgtype.BinaryFormatCode)
	if oid == pgtype.TextOID {
		format = pgtype.TextFormatCode
	}
	b, err := pgtype.NewMap().Encode(oid, format, value, nil)
	require.NoError(t, err)
	return b
}

func TestRow_ReadsWhatTheDriverEncodes(t *testing.T) {
	t.Parallel()
	id := store.NewFileID()
	before, after := time.Date(1969, 7, 20, 20, 17, 40, 123456000, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)
	r := Row{columns: [][]byte{
		sent(t, pgtype.UUIDOID, [16]byte(id)), sent(t, pgtype.Int2OID, int16(-2)), sent(t, pgtype.Int4OID, int32(-4)), sent(t, pgtype.Int8OID, int64(-8)),
		sent(t, pgtype.BoolOID, true), sent(t, pgtype.BoolOID, false), sent(t, pgtype.TimestamptzOID, before), sent(t, pgtype.TimestamptzOID, after),
		sent(t, pgtype.TextOID, "ä"), sent(t, pgtype.TextOID, "same"), sent(t, pgtype.ByteaOID, []byte{0, 1}), []byte(`{"a":"b"}`),
	}}
	require.Equal(t, id, store.FileID(r.UUID()))
	require.Equal(t, []int64{-2, -4, -8}, []int64{r.Int(), r.Int(), r.Int()})
	require.Equal(t, []bool{true, false}, []bool{r.Bool(), r.Bool()})
	require.Equal(t, []time.Time{before, after}, []time.Time{r.Time(), r.Time()})
	require.Equal(t, "ä", r.Text())
	require.Equal(t, "same", r.TextLike("same"))
	require.Equal(t, []byte{0, 1}, r.Bytes())
	require.Equal(t, map[string]string{"a": "b"}, r.Strings())
	require.NoError(t, r.End())
}

func TestRow_NullsAreZero(t *testing.T) {
	t.Parallel()
	r := Row{columns: make([][]byte, FileColumns+PartColumns-2)}
	require.True(t, r.Null())
	require.Equal(t, store.File{}, r.File(&store.File{Bucket: "b", ContentType: "c", ChangedBy: "d"}))
	r.Skip(PartColumns - 2)
	require.NoError(t, r.End())
}

func TestRow_KeepsNothingOfTheBuffer(t *testing.T) {
	t.Parallel()
	b := []byte("text")
	r := Row{columns: [][]byte{b, b, b}}
	text, like, raw := r.Text(), r.TextLike("other"), r.Bytes()
	copy(b, "????")
	require.Equal(t, []string{"text", "text", "text"}, []string{text, like, string(raw)})
}

// A statement and its reader that disagree, and results in text format, are found in the first row.
func TestRow_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		column []byte
		read   func(*Row)
	}{
		"id as text":         {[]byte("0190a0b0-0000-7000-8000-000000000000"), func(r *Row) { r.UUID() }},
		"short id":           {[]byte("0"), func(r *Row) { r.UUID() }},
		"empty id":           {[]byte{}, func(r *Row) { r.UUID() }},
		"integer as text":    {[]byte("123"), func(r *Row) { r.Int() }},
		"boolean as text":    {[]byte("t"), func(r *Row) { r.Bool() }},
		"boolean of a word":  {[]byte("true"), func(r *Row) { r.Bool() }},
		"time as text":       {[]byte("2026-01-02 03:04:05+00"), func(r *Row) { r.Time() }},
		"no object":          {[]byte(`["a"]`), func(r *Row) { r.Strings() }},
		"no attributes":      {[]byte{0xff}, func(r *Row) { r.Attributes() }},
		"a column too many":  {nil, func(*Row) {}},
		"a column too few":   {nil, func(r *Row) { r.Skip(1); r.Int() }},
		"many too few":       {nil, func(r *Row) { r.Skip(7) }},
		"placements, no sum": {make([]byte, 16), func(r *Row) { r.Part() }},
	} {
		r := Row{columns: [][]byte{c.column}}
		c.read(&r)
		require.ErrorIs(t, r.End(), store.Internal, name)
		require.Zero(t, r.Int(), "nothing is read behind an error: %s", name)
	}
}

// Whatever a server sends is read, or refused, without a panic.
func FuzzRow(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1}, []byte("0123456789abcdef"), []byte(`{}`))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		columns := [][]byte{b, a, c, a, b, c, nil, a, a, a, a, c, c, c, a, c, a, b, a, b, a, a, a, a, a, a, b, c, c}
		for n := range columns {
			r := Row{columns: columns[:n]}
			r.File(&store.File{})
			decode(&r, func([]byte) (int, error) { return 0, nil })
			r.Part()
			if n < FileColumns+1+PartColumns {
				require.ErrorIs(t, r.End(), store.Internal)
			}
		}
	})
}
