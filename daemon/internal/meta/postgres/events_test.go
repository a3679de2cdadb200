package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Two transactions that append events overlap: the second one cannot get its number, and so cannot become visible, before the first
// one ends, whichever way it ends. So a reader that is between them misses nothing.
func TestEventsOfOverlappingTransactions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end   string
		kinds []string
	}{
		"the first commits":        {"COMMIT", []string{"test.first", store.EventKeyMade}},
		"the first is rolled back": {"ROLLBACK", []string{store.EventKeyMade}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, pgtest.Database(t), postgres.Options{})
			before, err := s.AppendEvent(t.Context(), store.Event{Kind: "test.before"})
			require.NoError(t, err)
			first, err := s.Pool().Acquire(t.Context())
			require.NoError(t, err)
			defer first.Release()
			run := func(sql string, args ...any) {
				t.Helper()
				_, err := first.Exec(t.Context(), sql, args...)
				require.NoError(t, err)
			}
			run("BEGIN")
			run(s.SQL().AppendEvent, "test.first", 0, "", "", nil, "")

			second := make(chan error, 1)
			go func() { second <- s.SaveCredential(t.Context(), store.Credential{AccessKey: "AKIA"}, "") }()
			require.Eventually(t, func() bool {
				return count(t, s, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
			}, 20*time.Second, time.Millisecond)
			page, err := s.EventsAfter(t.Context(), before, 10)
			require.NoError(t, err)
			require.Empty(t, page.Events)
			require.Equal(t, before, page.Head)

			run(c.end)
			require.NoError(t, <-second)
			page, err = s.EventsAfter(t.Context(), before, 10)
			require.NoError(t, err)
			var kinds []string
			for i, e := range page.Events {
				require.Equal(t, before+store.EventSeq(i+1), e.Seq)
				kinds = append(kinds, e.Kind)
			}
			require.Equal(t, c.kinds, kinds)
		})
	}
}

// The calls that the leader and the readers of events repeat find their rows by an index.
func TestPlansOfJobsAndEvents(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Fresh(t), postgres.Options{})
	q := s.SQL()
	id := "'" + store.NewJobID().String() + "'"
	for index, text := range map[string]string{
		"jobs_pkey":             plan(t, s, q.Job, id),
		"jobs_pkey on jobs":     plan(t, s, q.ListJobs, id, "'{1,2,3}'", "10"),
		"jobs_pkey on jobs (":   plan(t, s, q.ListJobsDown, id, "'{1,2,3}'", "10"),
		"jobs_unfinished":       plan(t, s, q.SameJob, id, "'drain'", "''"),
		"jobs_ended":            plan(t, s, q.TrimJobs, "'1 s'", "10", "10"),
		"events_pkey":           plan(t, s, q.EventsAfter, "0", "10"),
		"events_pkey on events": plan(t, s, q.TrimEvents, "'1 s'", "10", "10"),
	} {
		require.Contains(t, text, "using "+index, text)
		for _, table := range []string{"jobs", "events"} {
			require.NotContains(t, text, "Seq Scan on "+table+" ", text)
		}
	}
}
