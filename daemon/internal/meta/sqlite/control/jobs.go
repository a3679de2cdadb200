package control

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/jobstate"
)

// CreateJob implements store.Jobs.
func (s *Store) CreateJob(ctx context.Context, j store.Job) (store.Job, error) {
	j, event, err := jobstate.Queued(j)
	if err != nil {
		return store.Job{}, err
	}
	err = s.db.Write(ctx, "CreateJob", func(t *db.Tx) error {
		var other []byte
		err := t.Row(s.db.Q.SameJob, j.ID[:], j.Kind, j.Target).Scan(&other)
		if err == nil {
			return jobstate.ErrExists(store.JobID(other))
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		j.CreatedAt = s.db.Now()
		j.UpdatedAt = j.CreatedAt
		return s.storeJob(t, s.db.Q.InsertJob, jobstate.Step{Job: j, Event: event, Wakes: true})
	})
	if err != nil {
		return store.Job{}, err
	}
	return j, nil
}

// storeJob stores the outcome of a call by the statement.
func (s *Store) storeJob(t *db.Tx, statement string, step jobstate.Step) error {
	j := step.Job
	if _, err := t.Exec(statement, j.ID[:], j.Kind, j.Target, j.Args, int64(j.State), int64(j.Wish),
		j.Done.Items, j.Done.Bytes, j.Total.Items, j.Total.Bytes, j.Rate.Items, j.Rate.Bytes, j.Cursor, j.Owner, int64(j.Term), j.Reason,
		j.CreatedBy, db.Micros(j.CreatedAt), db.Micros(j.StartedAt), db.Micros(j.UpdatedAt), db.Micros(j.EndedAt)); err != nil {
		return err
	}
	if step.Event.Kind != "" {
		if _, err := s.Tell(t, step.Event); err != nil {
			return err
		}
	}
	if !step.Wakes {
		return nil
	}
	_, err := t.Exec(s.db.Q.WakeLoop, store.JobsLoop)
	return err
}

func scanJob(rows *sql.Rows) (j store.Job, err error) {
	var id []byte
	var created, started, updated, ended int64
	err = rows.Scan(&id, &j.Kind, &j.Target, &j.Args, &j.State, &j.Wish, &j.Done.Items, &j.Done.Bytes, &j.Total.Items, &j.Total.Bytes,
		&j.Rate.Items, &j.Rate.Bytes, &j.Cursor, &j.Owner, &j.Term, &j.Reason, &j.CreatedBy, &created, &started, &updated, &ended)
	if err != nil {
		return j, err
	}
	j.ID = store.JobID(id)
	j.CreatedAt, j.StartedAt, j.UpdatedAt, j.EndedAt = db.FromMicros(created), db.FromMicros(started), db.FromMicros(updated), db.FromMicros(ended)
	return j, nil
}

func (s *Store) job(a db.Asker, id store.JobID) (j store.Job, err error) {
	rows, err := a.Query(s.db.Q.Job, id[:])
	if err != nil {
		return j, err
	}
	err = db.Each(rows, func() (err error) {
		j, err = scanJob(rows)
		return err
	})
	if err == nil && j.ID.IsZero() {
		err = jobstate.ErrNoJob(id)
	}
	return j, err
}

// Job implements store.Jobs.
func (s *Store) Job(ctx context.Context, id store.JobID) (j store.Job, err error) {
	err = s.db.Read(ctx, "Job", func(r *db.Reader) error {
		j, err = s.job(r, id)
		return err
	})
	return j, err
}

// ListJobs implements store.Jobs.
func (s *Store) ListJobs(ctx context.Context, q store.JobQuery) (page store.JobPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	text, after := s.db.Q.ListJobs, q.After
	if q.Descending {
		if text = s.db.Q.ListJobsDown; after.IsZero() {
			after = store.JobID{0: math.MaxUint8} // no id of version 7 is greater
		}
	}
	states := int64(0)
	for state := store.JobQueued; state <= store.JobCanceled; state++ {
		if q.Selects(state) {
			states |= 1 << state
		}
	}
	err = s.db.List(ctx, "ListJobs", func(r *db.Reader) error {
		rows, err := r.Query(text, after[:], states, q.Limit+1)
		if err != nil {
			return err
		}
		var jobs []store.Job
		err = db.Each(rows, func() error {
			j, err := scanJob(rows)
			jobs = append(jobs, j)
			return err
		})
		page = store.NewJobPage(jobs, q.Limit)
		return err
	})
	return page, err
}

// change applies a call to a job.
func (s *Store) change(ctx context.Context, op string, id store.JobID, f func(j store.Job, now time.Time) (jobstate.Step, error)) (j store.Job, err error) {
	err = s.db.Write(ctx, op, func(t *db.Tx) error {
		was, err := s.job(t, id)
		if err != nil {
			return err
		}
		step, err := f(was, s.db.Now())
		if err != nil {
			return err
		}
		j = step.Job
		if !step.Changed {
			return nil
		}
		return s.storeJob(t, s.db.Q.UpdateJob, step)
	})
	if err != nil {
		return store.Job{}, err
	}
	return j, nil
}

// WishJob implements store.Jobs.
func (s *Store) WishJob(ctx context.Context, id store.JobID, w store.JobWish, caller string) (store.Job, error) {
	return s.change(ctx, "WishJob", id, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Wished(j, w, caller, now) })
}

// ClaimJob implements store.Jobs.
func (s *Store) ClaimJob(ctx context.Context, c store.JobClaim) (store.Job, error) {
	return s.change(ctx, "ClaimJob", c.ID, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Claimed(j, c, now) })
}

// SaveJob implements store.Jobs.
func (s *Store) SaveJob(ctx context.Context, p store.JobProgress) (store.Job, error) {
	return s.change(ctx, "SaveJob", p.ID, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Saved(j, p, now) })
}

// TrimJobs implements store.Jobs.
func (s *Store) TrimJobs(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	before, count := int64(0), int64(math.MaxInt64)
	if keep.Count > 0 {
		count = int64(keep.Count)
	}
	err = s.db.Write(ctx, "TrimJobs", func(t *db.Tx) error {
		if keep.Age > 0 {
			before = db.Micros(s.db.Now().Add(-keep.Age))
		}
		n, err := t.Exec(s.db.Q.TrimJobs, before, count, limit)
		trimmed = int(n)
		return err
	})
	return trimmed, err
}
