package control

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BeatGateway implements store.Gateways.
func (s *Store) BeatGateway(ctx context.Context, name, version string) error {
	if err := store.ValidGateway(name, version); err != nil {
		return err
	}
	return s.db.Write(ctx, "BeatGateway", func(t *db.Tx) error {
		now := s.db.Now()
		if _, err := t.Exec(s.db.Q.ForgetGateways, db.Micros(now.Add(-store.GatewayKept))); err != nil {
			return err
		}
		_, err := t.Exec(s.db.Q.BeatGateway, name, version, s.db.Schema, s.db.Schema, db.Micros(now))
		return err
	})
}

// ListGateways implements store.Gateways.
func (s *Store) ListGateways(ctx context.Context) (all []store.Gateway, err error) {
	err = s.db.List(ctx, "ListGateways", func(r *db.Reader) error {
		all = nil
		rows, err := r.Query(s.db.Q.ListGateways)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
			var g store.Gateway
			var started, beat int64
			err := rows.Scan(&g.Name, &g.Version, &g.SchemaMin, &g.SchemaMax, &started, &beat)
			g.StartedAt, g.Silence = db.FromMicros(started), max(0, s.db.Now().Sub(db.FromMicros(beat)))
			all = append(all, g)
			return err
		})
	})
	return all, err
}

// RemoveGateway implements store.Gateways.
func (s *Store) RemoveGateway(ctx context.Context, name string) error {
	return s.db.Write(ctx, "RemoveGateway", func(t *db.Tx) error {
		_, err := t.Exec(s.db.Q.RemoveGateway, name)
		return err
	})
}
