package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
	sqlfiles "github.com/ringstore/ringstore/sql/sqlite"
)

// firstSchema makes a database as the first release left it, and runs the statements on it.
func firstSchema(t *testing.T, path string, fill func(db *sql.DB)) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=journal_mode(WAL)"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	p, err := goose.NewProvider(database.DialectSQLite3, db, sqlfiles.Migrations(), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = p.UpTo(t.Context(), 1)
	require.NoError(t, err)
	fill(db)
}

func TestADatabaseOfTheFirstSchemaIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	cluster, file, empty, upload := store.NewClusterID(), store.NewFileID(), store.NewFileID(), store.NewFileID()
	chunks := []store.Placement{{Node: store.NewNodeID(), Sum: 1}, {Node: store.NewNodeID(), Sum: 1<<32 - 1}}
	nodes, sums := pack.Pack(chunks)
	part := func(number int) store.Part {
		return store.Part{ID: store.NewPartID(), Number: number, Size: 100 * int64(number), K: 1, M: 1, UnitSize: 4096, CRC64: 1<<63 + 1, Chunks: chunks}
	}
	whole, one, three := part(1), part(1), part(3)
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	firstSchema(t, path, func(db *sql.DB) {
		exec := func(text string, args ...any) {
			_, err := db.ExecContext(t.Context(), text, args...)
			require.NoError(t, err)
		}
		exec("INSERT INTO cluster VALUES (1, ?, 7)", cluster[:])
		exec("INSERT INTO buckets VALUES (3, 'photos', 1000, 2)")
		exec("INSERT INTO files VALUES (?, 3, ?, 100, 'text/plain', 2, 1, 0, 1000, 2000, -5, NULL, 'tag', NULL, '')", file[:], []byte("a"))
		const parts = " VALUES (?, ?, ?, ?, 1, 1, 4096, ?, ?, ?"
		crc := int64(-1<<63 + 1)
		exec("INSERT INTO parts"+parts+")", file[:], 1, whole.ID[:], whole.Size, crc, nodes, sums)
		const sessions = "INSERT INTO sessions VALUES (?, 3, ?, -1, 'text/plain', ?, 1, 3000, ?)"
		exec(sessions, upload[:], []byte("b"), `{"colour":"blue"}`, expires.UnixMicro())
		exec(sessions, empty[:], []byte("c"), nil, expires.UnixMicro())
		for _, p := range []store.Part{three, one} {
			exec("INSERT INTO session_parts"+parts+", 4000)", upload[:], p.Number, p.ID[:], p.Size, crc, nodes, sums)
		}
	})

	s, err := Open(t.Context(), path, Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	members, err := s.Members(t.Context())
	require.NoError(t, err)
	require.Equal(t, cluster, members.Cluster)
	require.Equal(t, store.Epoch(7), members.Epoch)
	f, err := s.LatestFile(t.Context(), "photos", "a")
	require.NoError(t, err)
	require.Equal(t, file, f.ID)
	require.Equal(t, []store.Part{whole}, f.Parts)

	at := time.UnixMicro(4000).UTC()
	want := store.Session{
		ID: upload, Bucket: "photos", Key: "b", Size: -1, ContentType: "text/plain", Meta: map[string]string{"colour": "blue"},
		CreatedAt: time.UnixMicro(3000).UTC(), ExpiresAt: expires, Received: 400,
		Parts: []store.SessionPart{{Part: one, StoredAt: at}, {Part: three, StoredAt: at}},
	}
	got, err := s.Session(t.Context(), upload)
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = s.Session(t.Context(), empty)
	require.NoError(t, err)
	require.Zero(t, got.Received)
	require.Nil(t, got.Meta)
	page, err := s.ListSessions(t.Context(), store.SessionQuery{Bucket: "photos", Prefix: "b", Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Sessions, 1)

	begun := part(2)
	require.NoError(t, s.BeginPart(t.Context(), upload, begun))
	done, replaced, err := s.CompleteSession(t.Context(), store.File{ID: upload, Bucket: "photos", Key: "a", Parts: []store.Part{one, three}}, []store.FileID{upload})
	require.NoError(t, err)
	require.Equal(t, file, replaced)
	require.Equal(t, []store.Part{one, three}, done.Parts)
	depth, err := s.Depth(t.Context(), store.Reclaim)
	require.NoError(t, err)
	require.EqualValues(t, 4, depth.Tasks, "the replaced part's chunks and the begun one's")
}

// Two stores that open an old database at the same time bring it up to date once.
func TestStoresThatUpgradeTogetherAgree(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	firstSchema(t, path, func(*sql.DB) {})
	opened := make(chan *Store, 4)
	for range cap(opened) {
		go func() {
			s, err := Open(t.Context(), path, Options{})
			if err != nil {
				t.Error(err)
			}
			opened <- s
		}()
	}
	for range cap(opened) {
		s := <-opened
		require.NotNil(t, s)
		_, err := s.ListSessions(t.Context(), store.SessionQuery{Limit: 1})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}
