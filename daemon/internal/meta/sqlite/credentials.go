package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func noKey(accessKey string) error {
	return store.Errorf(store.NotFound, "access key %q does not exist", accessKey)
}

// SaveCredential implements store.Credentials.
func (s *Store) SaveCredential(ctx context.Context, c store.Credential, caller string) error {
	err := s.write(ctx, "SaveCredential", func(t *tx) error {
		return s.saveCredential(t, c, store.EventKeyMade, caller)
	})
	if errors.Is(err, store.Exists) {
		return store.Errorf(store.Exists, "access key %q exists already", c.AccessKey)
	}
	return err
}

// ReplaceCredentials implements store.Credentials.
func (s *Store) ReplaceCredentials(ctx context.Context, c store.Credential, caller string) error {
	return s.write(ctx, "ReplaceCredentials", func(t *tx) error {
		if _, err := t.exec(s.q.EndCredentials, c.AccessKey, c.Note); err != nil {
			return err
		}
		return s.saveCredential(t, c, store.EventKeyReplaced, caller)
	})
}

// saveCredential adds the key, and the event of that kind.
func (s *Store) saveCredential(t *tx, c store.Credential, kind, caller string) error {
	if _, err := t.exec(s.q.SaveCredential, c.AccessKey, append([]byte{}, c.Sealed...), c.Note, micros(s.now())); err != nil {
		return err
	}
	_, err := s.tell(t, store.KeyEvent(kind, c.AccessKey, c.Note, caller))
	return err
}

// Credential implements store.Credentials.
func (s *Store) Credential(ctx context.Context, accessKey string) (c store.Credential, err error) {
	err = s.read(ctx, "Credential", func(r *reader) error {
		all, err := scanCredentials(r.query(s.q.Credential, accessKey))
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
	err = s.read(ctx, "ListCredentials", func(r *reader) (err error) {
		all, err = scanCredentials(r.query(s.q.ListCredentials))
		return err
	})
	return all, err
}

func scanCredentials(rows *sql.Rows, err error) (all []store.Credential, _ error) {
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		var c store.Credential
		var created int64
		err := rows.Scan(&c.AccessKey, &c.Sealed, &c.Note, &created)
		c.CreatedAt = fromMicros(created)
		all = append(all, c)
		return err
	})
	return all, err
}

// DeleteCredential implements store.Credentials.
func (s *Store) DeleteCredential(ctx context.Context, accessKey, caller string) error {
	return s.write(ctx, "DeleteCredential", func(t *tx) error {
		changed, err := t.exec(s.q.DeleteCredential, accessKey)
		if err == nil && changed == 0 {
			return noKey(accessKey)
		}
		if err != nil {
			return err
		}
		_, err = s.tell(t, store.KeyEvent(store.EventKeyGone, accessKey, "", caller))
		return err
	})
}
