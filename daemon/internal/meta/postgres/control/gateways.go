package control

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// BeatGateway implements store.Gateways.
func (s *Store) BeatGateway(ctx context.Context, name, version string) error {
	if err := store.ValidGateway(name, version); err != nil {
		return err
	}
	known := s.q.Schema
	return s.calls.Write(ctx, "BeatGateway", func(c *db.Conn) error {
		b := &pgx.Batch{}
		b.Queue(s.q.ForgetGateways, store.GatewayKept)
		b.Queue(s.q.BeatGateway, name, version, known.Oldest, known.Newest)
		return db.Pipeline(ctx, c, b)
	})
}

// ListGateways implements store.Gateways.
func (s *Store) ListGateways(ctx context.Context) (all []store.Gateway, err error) {
	err = s.calls.List(ctx, "ListGateways", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.ListGateways)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanGateway)
		slices.SortFunc(all, func(a, b store.Gateway) int { return cmp.Compare(a.Name, b.Name) }) // the database's collation may differ
		return err
	})
	return all, err
}

func scanGateway(row pgx.CollectableRow) (g store.Gateway, err error) {
	err = row.Scan(&g.Name, &g.Version, &g.SchemaMin, &g.SchemaMax, &g.StartedAt, &g.Silence)
	g.StartedAt, g.Silence = g.StartedAt.UTC(), max(0, g.Silence)
	return g, err
}

// RemoveGateway implements store.Gateways.
func (s *Store) RemoveGateway(ctx context.Context, name string) error {
	_, err := s.calls.Exec(ctx, "RemoveGateway", s.q.RemoveGateway, name)
	return err
}
