package control

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// SaveCredential implements store.Credentials.
func (s *Store) SaveCredential(ctx context.Context, c store.Credential, caller string) error {
	v, err := keyValues(store.EventKeyMade, c, caller)
	if err != nil {
		return err
	}
	_, err = s.calls.Exec(ctx, "SaveCredential", s.q.SaveCredential, s.q.Args(s.q.SaveCredential, v)...)
	return err
}

// ReplaceCredentials implements store.Credentials.
func (s *Store) ReplaceCredentials(ctx context.Context, c store.Credential, caller string) error {
	v, err := keyValues(store.EventKeyReplaced, c, caller)
	if err != nil {
		return err
	}
	return s.calls.Write(ctx, "ReplaceCredentials", func(on *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.EndCredentials, c.AccessKey, c.Note)
		b.Queue(s.q.ReplaceCredential, s.q.Args(s.q.ReplaceCredential, v)...)
		return db.Pipeline(ctx, on, b)
	})
}

// keyValues are the values of a statement that changes an access key, and of its event.
func keyValues(kind string, c store.Credential, caller string) (db.Values, error) {
	return db.Values{"access_key": c.AccessKey, "sealed": notNull(c.Sealed), "note": c.Note}.WithEvent(eventof.Key(kind, c.AccessKey, c.Note, caller))
}

// notNull is b, or no bytes where b is nil.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Credential implements store.Credentials.
func (s *Store) Credential(ctx context.Context, accessKey string) (found store.Credential, err error) {
	err = s.calls.Read(ctx, "Credential", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.Credential, accessKey)
		if err != nil {
			return err
		}
		found, err = pgx.CollectExactlyOneRow(rows, scanCredential)
		if db.IsNoRows(err) {
			return noCredential()
		}
		return err
	})
	return found, err
}

// ListCredentials implements store.Credentials.
func (s *Store) ListCredentials(ctx context.Context) (all []store.Credential, err error) {
	err = s.calls.List(ctx, "ListCredentials", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.ListCredentials)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanCredential)
		slices.SortFunc(all, func(a, b store.Credential) int { return cmp.Compare(a.AccessKey, b.AccessKey) }) // the database's collation may differ
		return err
	})
	return all, err
}

// DeleteCredential implements store.Credentials.
func (s *Store) DeleteCredential(ctx context.Context, accessKey, caller string) error {
	v, err := keyValues(store.EventKeyGone, store.Credential{AccessKey: accessKey}, caller)
	if err != nil {
		return err
	}
	changed, err := s.calls.Exec(ctx, "DeleteCredential", s.q.DeleteCredential, s.q.Args(s.q.DeleteCredential, v)...)
	if err == nil && changed == 0 {
		return noCredential()
	}
	return err
}

func scanCredential(row pgx.CollectableRow) (c store.Credential, err error) {
	err = row.Scan(&c.AccessKey, &c.Sealed, &c.Note, &c.CreatedAt)
	c.CreatedAt = c.CreatedAt.UTC()
	return c, err
}

func noCredential() error {
	return store.Errorf(store.NotFound, "there is no such access key")
}
