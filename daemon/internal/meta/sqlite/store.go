package sqlite

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/control"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Options configure a Store. The zero value is right for production.
type Options = db.Options

// Store is the metadata in one SQLite file. Safe for concurrent use.
type Store struct {
	*control.Store
	db *db.DB
}

var _ store.Metadata = (*Store)(nil)

// Open opens the database file, creates it where it does not exist, and brings its
// schema up to date. The caller must Close it. Several stores, also of several processes,
// may be open on one file; they wait for each other's writes.
// Errors: Unavailable, Corrupt, Conflict (schema of a newer release), NoSpace.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	file, err := db.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	s := &Store{control.New(file), file}
	if err := s.prepareData(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepareData stores the cluster's id and, in the same step and never again, the default bucket.
func (s *Store) prepareData(ctx context.Context) error {
	return s.db.Write(ctx, "Open", func(t *db.Tx) error {
		id := store.NewClusterID()
		isNew, err := t.Exec(s.db.Q.EnsureCluster, id[:])
		if err != nil || isNew == 0 {
			return err
		}
		_, err = t.Exec(s.db.Q.CreateBucket, string(store.DefaultBucket), db.Micros(s.db.Now()), store.SurviveDefault)
		return err
	})
}

// Ping implements store.Metadata.
func (s *Store) Ping(ctx context.Context) error {
	return s.db.Read(ctx, "Ping", func(*db.Reader) error { return nil })
}

// Close implements store.Metadata. Calls that were accepted are finished first.
func (s *Store) Close() error { return s.db.Close() }
