package control

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

func noKey(accessKey string) error {
	return store.Errorf(store.NotFound, "access key %q does not exist", accessKey)
}

// SaveCredential implements store.Credentials.
func (s *Store) SaveCredential(ctx context.Context, c store.Credential, caller string) error {
	err := s.db.Write(ctx, "SaveCredential", func(t *db.Tx) error {
		return s.saveCredential(t, c, store.EventKeyMade, caller)
	})
	if errors.Is(err, store.Exists) {
		return store.Errorf(store.Exists, "access key %q exists already", c.AccessKey)
	}
	return err
}

// ReplaceCredentials implements store.Credentials.
func (s *Store) ReplaceCredentials(ctx context.Context, c store.Credential, caller string) error {
	return s.db.Write(ctx, "ReplaceCredentials", func(t *db.Tx) error {
		if _, err := t.Exec(s.db.Q.EndCredentials, c.AccessKey, c.Note); err != nil {
			return err
		}
		return s.saveCredential(t, c, store.EventKeyReplaced, caller)
	})
}

// saveCredential adds the key, and the event of that kind.
func (s *Store) saveCredential(t *db.Tx, c store.Credential, kind, caller string) error {
	if _, err := t.Exec(s.db.Q.SaveCredential, c.AccessKey, append([]byte{}, c.Sealed...), c.Note, db.Micros(s.db.Now())); err != nil {
		return err
	}
	_, err := s.Tell(t, eventof.Key(kind, c.AccessKey, c.Note, caller))
	return err
}

// Credential implements store.Credentials.
func (s *Store) Credential(ctx context.Context, accessKey string) (c store.Credential, err error) {
	err = s.db.Read(ctx, "Credential", func(r *db.Reader) error {
		all, err := scanCredentials(r.Query(s.db.Q.Credential, accessKey))
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return noKey(accessKey)
		}
		c = all[0]
		return nil
	})
	return c, err
}

// ListCredentials implements store.Credentials.
func (s *Store) ListCredentials(ctx context.Context) (all []store.Credential, err error) {
	err = s.db.List(ctx, "ListCredentials", func(r *db.Reader) (err error) {
		all, err = scanCredentials(r.Query(s.db.Q.ListCredentials))
		return err
	})
	return all, err
}

func scanCredentials(rows *sql.Rows, err error) (all []store.Credential, _ error) {
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func() error {
		var c store.Credential
		var created int64
		err := rows.Scan(&c.AccessKey, &c.Sealed, &c.Note, &created)
		c.CreatedAt = db.FromMicros(created)
		all = append(all, c)
		return err
	})
	return all, err
}

// DeleteCredential implements store.Credentials.
func (s *Store) DeleteCredential(ctx context.Context, accessKey, caller string) error {
	return s.db.Write(ctx, "DeleteCredential", func(t *db.Tx) error {
		changed, err := t.Exec(s.db.Q.DeleteCredential, accessKey)
		if err == nil && changed == 0 {
			return noKey(accessKey)
		}
		if err != nil {
			return err
		}
		_, err = s.Tell(t, eventof.Key(store.EventKeyGone, accessKey, "", caller))
		return err
	})
}
