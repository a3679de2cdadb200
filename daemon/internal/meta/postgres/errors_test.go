package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	pg := func(code, constraint string) error {
		return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, ConstraintName: constraint, Message: "server's words"})
	}
	for name, c := range map[string]struct {
		err  error
		kind store.Kind
		hint bool
	}{
		"serialization failure": {pg("40001", ""), store.Unavailable, true},
		"deadlock":              {pg("40P01", ""), store.Unavailable, true},
		"statement timeout":     {pg("57014", ""), store.Unavailable, true},
		"admin shutdown":        {pg("57P01", ""), store.Unavailable, true},
		"starting up":           {pg("57P03", ""), store.Unavailable, true},
		"connection failure":    {pg("08006", ""), store.Unavailable, true},
		"too many connections":  {pg("53300", ""), store.Unavailable, true},
		"disk full":             {pg("53100", ""), store.NoSpace, true},
		"I/O error":             {pg("58030", ""), store.Unavailable, true},
		"read-only standby":     {pg("25006", ""), store.Unavailable, true},
		"wrong password":        {pg("28P01", ""), store.Unavailable, true},
		"no such database":      {pg("3D000", ""), store.Unavailable, true},
		"NUL in text":           {pg("22021", ""), store.Invalid, false},
		"NUL in json":           {pg("22P05", ""), store.Invalid, false},
		"check":                 {pg("23514", ""), store.Invalid, false},
		"many of one name":      {pg("23505", "files_latest"), store.Unavailable, true},
		"file id":               {pg("23505", "files_pkey"), store.Exists, false},
		"part id":               {pg("23505", "parts_pkey"), store.Exists, false},
		"part number":           {pg("23505", "parts_of_file"), store.Invalid, false},
		"bucket":                {pg("23505", "buckets_name"), store.Exists, false},
		"node name":             {pg("23505", "nodes_name"), store.Conflict, true},
		"access key":            {pg("23505", "credentials_pkey"), store.Exists, false},
		"other unique":          {pg("23505", "other"), store.Exists, false},
		"syntax error":          {pg("42601", ""), store.Internal, false},
		"broken connection":     {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), store.Unavailable, true},
		"our own time limit":    {context.DeadlineExceeded, store.Unavailable, true},
		"a defect":              {errors.New("what"), store.Internal, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := postgres.Translate(context.Background(), "Op", c.err)
			requireKind(t, c.kind, got)
			e, ok := errors.AsType[*store.Error](got)
			require.True(t, ok)
			require.Equal(t, "postgres.Op", e.Op)
			require.Equal(t, c.hint, e.Hint != "")
		})
	}
}

// The message says what happened, in words for a person, and the hint what to do next.
func TestErrorsSayWhatHappened(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ code, message, says, hint string }{
		{"57P01", "terminating connection due to administrator command", "stopped or restarted during the call", "Look at what the call changed"},
		{"57P02", "", "stopped or restarted during the call", "Look at what the call changed"},
		{"57P03", "the database system is not accepting connections", "starting, in recovery or stopping", "Wait"},
		{"53300", "sorry, too many clients already", "takes no more connections", "max_connections"},
		{"26000", "", "a prepared statement is not what it was", "default_query_exec_mode"},
		{"08P01", "unsupported startup parameter: options", "the connection pooler refuses a parameter", "ignore_startup_parameters"},
	} {
		err := postgres.Translate(t.Context(), "Op", &pgconn.PgError{Code: c.code, Message: c.message})
		require.ErrorContains(t, err, c.says)
		require.Contains(t, store.HintOf(err), c.hint)
	}
	err := postgres.Translate(t.Context(), "Op", io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "the connection to the database was lost")
}

func TestTranslateLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	require.NoError(t, postgres.Translate(t.Context(), "Op", nil))

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	err := postgres.Translate(canceled, "Op", io.ErrUnexpectedEOF)
	require.ErrorIs(t, err, context.Canceled)
	requireKind(t, store.Canceled, err)

	known := postgres.Translate(canceled, "Op", store.Errorf(store.NotFound, "no such thing"))
	requireKind(t, store.NotFound, known)
	require.EqualError(t, known, "postgres.Op: no such thing")
}
