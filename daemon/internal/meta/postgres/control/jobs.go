package control

import (
	"bytes"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/jobstate"
)

// CreateJob implements store.Jobs.
func (s *Store) CreateJob(ctx context.Context, j store.Job) (store.Job, error) {
	j, event, err := jobstate.Queued(j)
	if err != nil {
		return store.Job{}, err
	}
	v, err := db.Values{
		"id": [16]byte(j.ID), "kind": j.Kind, "target": j.Target, "args": j.Args, "created_by": j.CreatedBy, "loop": store.JobsLoop, "wakes": true,
	}.WithEvent(event)
	if err != nil {
		return store.Job{}, err
	}
	err = s.calls.Write(ctx, "CreateJob", func(c *db.Conn) error {
		err := c.QueryRow(ctx, s.q.CreateJob, s.q.Args(s.q.CreateJob, v)...).Scan(&j.CreatedAt)
		if !db.IsNoRows(err) {
			return err
		}
		var other [16]byte
		err = c.QueryRow(ctx, s.q.SameJob, [16]byte(j.ID), j.Kind, j.Target).Scan(&other)
		if db.IsNoRows(err) {
			return db.ErrJobChanged // it has ended meanwhile
		}
		if err != nil {
			return err
		}
		return jobstate.ErrExists(store.JobID(other))
	})
	if err != nil {
		return store.Job{}, err
	}
	j.CreatedAt = j.CreatedAt.UTC()
	j.UpdatedAt = j.CreatedAt
	return j, nil
}

// jobRow is a job as it was read.
type jobRow struct {
	store.Job
	revision int64
	now      time.Time // when it was read
}

func scanJob(row pgx.CollectableRow) (r jobRow, err error) {
	var state, wish int16
	var term int64
	var started, ended *time.Time
	j := &r.Job
	err = row.Scan((*[16]byte)(&j.ID), &j.Kind, &j.Target, &j.Args, &state, &wish, &j.Done.Items, &j.Done.Bytes, &j.Total.Items, &j.Total.Bytes,
		&j.Rate.Items, &j.Rate.Bytes, &j.Cursor, &j.Owner, &term, &j.Reason, &j.CreatedBy, &j.CreatedAt, &started, &j.UpdatedAt, &ended, &r.revision, &r.now)
	j.State, j.Wish, j.Term, j.CreatedAt, j.UpdatedAt = store.JobState(state), store.JobWish(wish), uint64(term), j.CreatedAt.UTC(), j.UpdatedAt.UTC()
	if started != nil {
		j.StartedAt = started.UTC()
	}
	if ended != nil {
		j.EndedAt = ended.UTC()
	}
	r.now = r.now.UTC()
	return r, err
}

func (s *Store) job(ctx context.Context, c *db.Conn, id store.JobID) (jobRow, error) {
	rows, err := c.Query(ctx, s.q.Job, [16]byte(id))
	if err != nil {
		return jobRow{}, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanJob)
	if db.IsNoRows(err) {
		err = jobstate.ErrNoJob(id)
	}
	return r, err
}

// Job implements store.Jobs.
func (s *Store) Job(ctx context.Context, id store.JobID) (store.Job, error) {
	var r jobRow
	err := s.calls.Read(ctx, "Job", func(c *db.Conn) (err error) {
		r, err = s.job(ctx, c, id)
		return err
	})
	if err != nil {
		return store.Job{}, err
	}
	return r.Job, nil
}

// ListJobs implements store.Jobs.
func (s *Store) ListJobs(ctx context.Context, q store.JobQuery) (page store.JobPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	text, after := s.q.ListJobs, q.After
	if q.Descending {
		if text = s.q.ListJobsDown; after.IsZero() {
			after = store.JobID(bytes.Repeat([]byte{0xff}, len(after)))
		}
	}
	states := []int16{}
	for state := store.JobQueued; state <= store.JobCanceled; state++ {
		if q.Selects(state) {
			states = append(states, int16(state))
		}
	}
	err = s.calls.List(ctx, "ListJobs", func(c *db.Conn) error {
		rows, err := c.Query(ctx, text, [16]byte(after), states, q.Limit+1)
		if err != nil {
			return err
		}
		jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Job, error) {
			r, err := scanJob(row)
			return r.Job, err
		})
		page = store.NewJobPage(jobs, q.Limit)
		return err
	})
	return page, err
}

// change applies a call to a job: it reads the job, computes what the call does to it, and replaces the revision that it read.
// Where another change came between, it starts again.
func (s *Store) change(ctx context.Context, op string, id store.JobID, f func(j store.Job, now time.Time) (jobstate.Step, error)) (j store.Job, err error) {
	err = s.calls.Write(ctx, op, func(c *db.Conn) error {
		was, err := s.job(ctx, c, id)
		if err != nil {
			return err
		}
		step, err := f(was.Job, was.now)
		if err != nil {
			return err
		}
		j = step.Job
		if !step.Changed {
			return nil
		}
		v, err := jobValues(step, was.revision)
		if err != nil {
			return err
		}
		var changed int
		if err := c.QueryRow(ctx, s.q.UpdateJob, s.q.Args(s.q.UpdateJob, v)...).Scan(&changed); err != nil {
			return err
		}
		if changed == 0 {
			return db.ErrJobChanged
		}
		return nil
	})
	if err != nil {
		return store.Job{}, err
	}
	return j, nil
}

// jobValues are the values of UpdateJob.
func jobValues(s jobstate.Step, revision int64) (db.Values, error) {
	j := &s.Job
	return db.Values{
		"id": [16]byte(j.ID), "revision": revision, "state": int16(j.State), "wish": int16(j.Wish), "done_items": j.Done.Items, "done_bytes": j.Done.Bytes,
		"total_items": j.Total.Items, "total_bytes": j.Total.Bytes, "rate_items": j.Rate.Items, "rate_bytes": j.Rate.Bytes, "resume_from": j.Cursor,
		"owner": j.Owner, "term": int64(j.Term), "reason": j.Reason, "started_at": db.TimeOrNull(&j.StartedAt), "updated_at": j.UpdatedAt,
		"ended_at": db.TimeOrNull(&j.EndedAt), "tells": s.Event.Kind != "", "loop": store.JobsLoop, "wakes": s.Wakes,
	}.WithEvent(s.Event)
}

// WishJob implements store.Jobs.
func (s *Store) WishJob(ctx context.Context, id store.JobID, w store.JobWish, caller string) (store.Job, error) {
	return s.change(ctx, "WishJob", id, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Wished(j, w, caller, now) })
}

// ClaimJob implements store.Jobs.
func (s *Store) ClaimJob(ctx context.Context, claim store.JobClaim) (store.Job, error) {
	return s.change(ctx, "ClaimJob", claim.ID, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Claimed(j, claim, now) })
}

// SaveJob implements store.Jobs.
func (s *Store) SaveJob(ctx context.Context, p store.JobProgress) (store.Job, error) {
	return s.change(ctx, "SaveJob", p.ID, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Saved(j, p, now) })
}

// TrimJobs implements store.Jobs.
func (s *Store) TrimJobs(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	return s.trim(ctx, "TrimJobs", s.q.TrimJobs, keep, limit)
}
