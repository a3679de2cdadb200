package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SaveCredential implements store.Credentials.
func (s *Store) SaveCredential(ctx context.Context, c store.Credential) error {
	_, err := s.control.exec(ctx, "SaveCredential", s.q.SaveCredential, c.AccessKey, notNull(c.Sealed), c.Note)
	return err
}

// ReplaceCredentials implements store.Credentials.
func (s *Store) ReplaceCredentials(ctx context.Context, c store.Credential) error {
	_, err := s.control.exec(ctx, "ReplaceCredentials", s.q.ReplaceCredentials, c.AccessKey, notNull(c.Sealed), c.Note)
	return err
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
	err = s.control.read(ctx, "Credential", func(c *conn) error {
		rows, err := c.Query(ctx, s.q.Credential, accessKey)
		if err != nil {
			return err
		}
		found, err = pgx.CollectExactlyOneRow(rows, scanCredential)
		if isNoRows(err) {
			return noCredential()
		}
		return err
	})
	return found, err
}

// ListCredentials implements store.Credentials.
func (s *Store) ListCredentials(ctx context.Context) (all []store.Credential, err error) {
	err = s.control.read(ctx, "ListCredentials", func(c *conn) error {
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
func (s *Store) DeleteCredential(ctx context.Context, accessKey string) error {
	changed, err := s.control.exec(ctx, "DeleteCredential", s.q.DeleteCredential, accessKey)
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
