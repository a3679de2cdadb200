package mem

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/jobstate"
)

// CreateJob implements store.Jobs.
func (m *Metadata) CreateJob(ctx context.Context, j store.Job) (store.Job, error) {
	j, event, err := jobstate.Queued(j)
	if err != nil {
		return store.Job{}, err
	}
	err = m.do(ctx, func(d *data) error {
		for _, o := range d.jobs {
			if o.ID == j.ID || jobstate.Same(o, j) {
				return jobstate.ErrExists(o.ID)
			}
		}
		j.CreatedAt = d.now()
		j.UpdatedAt = j.CreatedAt
		d.storeJob(jobstate.Step{Job: j, Event: event, Wakes: true})
		return nil
	})
	if err != nil {
		return store.Job{}, err
	}
	return cloneJob(j), nil
}

// storeJob stores the outcome of a call.
func (d *data) storeJob(s jobstate.Step) {
	d.jobs[s.Job.ID] = cloneJob(s.Job)
	if s.Event.Kind != "" {
		d.tell(s.Event)
	}
	if s.Wakes {
		d.wakeups[store.JobsLoop]++
	}
}

func cloneJob(j store.Job) store.Job {
	j.Args, j.Cursor = bytes.Clone(j.Args), bytes.Clone(j.Cursor)
	return j
}

// Job implements store.Jobs.
func (m *Metadata) Job(ctx context.Context, id store.JobID) (j store.Job, err error) {
	err = m.do(ctx, func(d *data) error {
		var ok bool
		if j, ok = d.jobs[id]; !ok {
			return jobstate.ErrNoJob(id)
		}
		j = cloneJob(j)
		return nil
	})
	return j, err
}

// ListJobs implements store.Jobs.
func (m *Metadata) ListJobs(ctx context.Context, q store.JobQuery) (page store.JobPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = m.do(ctx, func(d *data) error {
		var jobs []store.Job
		for _, j := range d.jobs {
			order := bytes.Compare(j.ID[:], q.After[:])
			if q.Descending && !q.After.IsZero() {
				order = -order
			}
			if order > 0 && q.Selects(j.State) {
				jobs = append(jobs, cloneJob(j))
			}
		}
		slices.SortFunc(jobs, func(a, b store.Job) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		if q.Descending {
			slices.Reverse(jobs)
		}
		page = store.NewJobPage(jobs, q.Limit)
		return nil
	})
	return page, err
}

// change applies a call to a job.
func (m *Metadata) change(ctx context.Context, id store.JobID, f func(j store.Job, now time.Time) (jobstate.Step, error)) (j store.Job, err error) {
	err = m.do(ctx, func(d *data) error {
		was, ok := d.jobs[id]
		if !ok {
			return jobstate.ErrNoJob(id)
		}
		step, err := f(was, d.now())
		if err != nil {
			return err
		}
		if step.Changed {
			d.storeJob(step)
		}
		j = cloneJob(step.Job)
		return nil
	})
	return j, err
}

// WishJob implements store.Jobs.
func (m *Metadata) WishJob(ctx context.Context, id store.JobID, w store.JobWish, caller string) (store.Job, error) {
	return m.change(ctx, id, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Wished(j, w, caller, now) })
}

// ClaimJob implements store.Jobs.
func (m *Metadata) ClaimJob(ctx context.Context, c store.JobClaim) (store.Job, error) {
	return m.change(ctx, c.ID, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Claimed(j, c, now) })
}

// SaveJob implements store.Jobs.
func (m *Metadata) SaveJob(ctx context.Context, p store.JobProgress) (store.Job, error) {
	return m.change(ctx, p.ID, func(j store.Job, now time.Time) (jobstate.Step, error) { return jobstate.Saved(j, p, now) })
}

// TrimJobs implements store.Jobs.
func (m *Metadata) TrimJobs(ctx context.Context, keep store.Retention, limit int) (trimmed int, err error) {
	if err := keep.Validate(limit); err != nil {
		return 0, err
	}
	err = m.do(ctx, func(d *data) error {
		now := d.now()
		ended := slices.DeleteFunc(slices.Collect(maps.Values(d.jobs)), func(j store.Job) bool { return !j.State.Ended() })
		slices.SortFunc(ended, func(a, b store.Job) int { return cmp.Or(a.EndedAt.Compare(b.EndedAt), bytes.Compare(a.ID[:], b.ID[:])) })
		for i, j := range ended {
			tooMany := keep.Count > 0 && len(ended)-i > keep.Count
			tooOld := keep.Age > 0 && j.EndedAt.Before(now.Add(-keep.Age))
			if trimmed == limit || !tooMany && !tooOld {
				break
			}
			delete(d.jobs, j.ID)
			trimmed++
		}
		return nil
	})
	return trimmed, err
}
