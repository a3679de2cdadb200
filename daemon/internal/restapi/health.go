package restapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
	"github.com/ringstore/ringstore/proto/rest/server"
)

const (
	healthLimit = 2 * time.Second        // a metadata store that takes longer counts as unavailable
	healthFresh = 250 * time.Millisecond // one check serves all requests for this long, because these routes need no key
)

// healthCache lets many probes share one check of the metadata store.
type healthCache struct {
	mu   sync.Mutex // guards what follows, and is held during a check
	last health
	at   time.Time
}

// health is what a check found.
type health struct {
	engine.Health
	upkeep rest.UpkeepState      // zero: it is not known
	age    time.Duration         // of the report that it rests on
	log    rest.MetadataLogState // zero: it is not known
	queues *rest.QueueState      // nil: they are not known
}

func (a *api) look(ctx context.Context) health {
	a.health.mu.Lock()
	defer a.health.mu.Unlock()
	if time.Since(a.health.at) > healthFresh {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthLimit)
		defer cancel()
		a.health.last = health{Health: a.cfg.Engine.Health(ctx)}
		a.health.last.upkeep, a.health.last.age = a.upkeep(ctx)
		a.health.last.log = a.metadataLog(ctx)
		a.health.last.queues = a.queues(ctx)
		a.health.at = time.Now()
	}
	return a.health.last
}

// GetHealth implements GET /health.
func (a *api) GetHealth(c echo.Context) error {
	h := reportOf(a.look(c.Request().Context()))
	status := http.StatusOK
	if h.Status == rest.HealthUnavailable {
		status = http.StatusServiceUnavailable
	}
	return httpedge.WriteJSON(c, status, h)
}

// GetLive implements GET /health/live.
func (a *api) GetLive(c echo.Context) error {
	return httpedge.WriteJSON(c, http.StatusOK, rest.Probe{Status: rest.ProbeLive})
}

// GetReady implements GET /health/ready.
func (a *api) GetReady(c echo.Context) error {
	h := reportOf(a.look(c.Request().Context()))
	if h.Status != rest.HealthUnavailable {
		return httpedge.WriteJSON(c, http.StatusOK, rest.Probe{Status: rest.ProbeReady})
	}
	return httpedge.WriteProblem(c, rest.Problem{
		Type: "urn:ringstore:problem:unavailable", Title: "Not available now", Status: http.StatusServiceUnavailable,
		Code: rest.CodeUnavailable, Detail: h.Reasons[0], Reasons: h.Reasons,
		Hint: "Start what is missing: the metadata store, or storage nodes with free space; free space on a full disk. GET /nodes shows each node.",
	})
}

// unfinished selects the jobs that are shown.
var unfinished = store.JobQuery{States: []store.JobState{store.JobQueued, store.JobRunning, store.JobPaused}, Limit: 100}

// upkeep returns what the cluster's background work does, with the age of the report; zero where that is not known. It names no
// gateway, node or error, because the route needs no key.
func (a *api) upkeep(ctx context.Context) (state rest.UpkeepState, age time.Duration) {
	if a.cfg.Upkeep == nil {
		return state, 0
	}
	report, err := a.cfg.Upkeep.LoopReport(ctx)
	if err != nil || report.Term == 0 {
		return state, 0
	}
	jobs, err := a.cfg.Upkeep.ListJobs(ctx, unfinished)
	if err != nil {
		return state, 0
	}
	state = rest.UpkeepState{ReportAge: seconds(report.Age), Loops: []rest.LoopState{}, Jobs: []rest.RunningJob{}}
	for _, l := range report.Loops {
		loop := rest.LoopState{Name: l.Name, State: rest.LoopStateState(l.State), Items: l.Items, Failures: l.Failures}
		if l.Idle >= 0 {
			idle := seconds(l.Idle)
			loop.LastStep = &idle
		}
		state.Loops = append(state.Loops, loop)
	}
	for _, j := range jobs.Jobs {
		state.Jobs = append(state.Jobs, rest.RunningJob{
			ID: j.ID.String(), Kind: j.Kind, State: rest.RunningJobState(j.State.String()), Done: amountOf(j.Done), Total: amountOf(j.Total),
		})
	}
	return state, report.Age
}

// metadataLog returns how far the metadata log is behind; zero where that is not known.
func (a *api) metadataLog(ctx context.Context) rest.MetadataLogState {
	if a.cfg.Upkeep == nil {
		return rest.MetadataLogState{}
	}
	lag, err := logLag(ctx, a.cfg.Upkeep)
	if err != nil {
		return rest.MetadataLogState{}
	}
	return rest.MetadataLogState{Complete: lag == 0, Lag: max(seconds(lag), 0)}
}

// logLag returns how long ago the oldest change was made that the metadata log does not hold, by the store's clock; 0 where it holds all.
// Errors are those of the store; NotFound where that change was trimmed.
func logLag(ctx context.Context, m Upkeep) (time.Duration, error) {
	last, err := m.LoggedTo(ctx)
	if err != nil && store.KindOf(err) != store.NotFound {
		return 0, err
	}
	page, err := m.ChangesAfter(ctx, last, 1)
	if err != nil || len(page.Changes) == 0 {
		return 0, err
	}
	members, err := m.Members(ctx)
	return max(members.Now.Sub(page.Changes[0].At), time.Microsecond), err
}

// queues returns the lengths of the queues; nil where they are not known.
func (a *api) queues(ctx context.Context) *rest.QueueState {
	if a.cfg.Upkeep == nil {
		return nil
	}
	repairs, err := a.cfg.Upkeep.Depth(ctx, store.Repair)
	if err != nil {
		return nil
	}
	reclaims, err := a.cfg.Upkeep.Depth(ctx, store.Reclaim)
	if err != nil {
		return nil
	}
	return &rest.QueueState{Repairs: repairs.Tasks, Endangered: repairs.Endangered, Reclaims: reclaims.Tasks}
}

func amountOf(a store.Amount) rest.JobAmount { return rest.JobAmount{Items: a.Items, Bytes: a.Bytes} }

// seconds is a duration in seconds, to the millisecond.
func seconds(d time.Duration) float32 { return float32(d.Milliseconds()) / 1000 }

// silentUpkeep is how old a report of the upkeep may be in a healthy cluster: far longer than it takes to replace a leader that dies.
const silentUpkeep = 2 * time.Minute

// latestLog is how far the metadata log may be behind in a healthy cluster: a new leader needs longer than the log does.
const latestLog = 30 * time.Second

// reportOf renders the state. It names no node and repeats no error, because the route needs no key.
func reportOf(h health) rest.Health {
	out := rest.Health{
		Status: rest.HealthOK, Metadata: rest.MetadataOK, Reasons: []string{},
		Nodes:   rest.NodeCounts{Total: len(h.Nodes), Writable: h.Writable},
		Survive: rest.SurviveState{Wanted: h.Wanted, Now: h.Survive},
		Upkeep:  h.upkeep, MetadataLog: h.log, Queues: h.queues,
	}
	for _, m := range h.Nodes {
		if m.Status == cluster.Online {
			out.Nodes.Online++
		}
	}
	worse := func(status rest.HealthStatus, format string, args ...any) {
		if out.Status != rest.HealthUnavailable {
			out.Status = status
		}
		out.Reasons = append(out.Reasons, fmt.Sprintf(format, args...))
	}
	switch {
	case errors.Is(h.Metadata, store.NoSpace):
		out.Metadata = rest.MetadataUnavailable
		worse(rest.HealthUnavailable, "The metadata store has no space: nothing can be written until some is free.")
	case h.Metadata != nil:
		out.Metadata = rest.MetadataUnavailable
		worse(rest.HealthUnavailable, "The metadata store does not answer, or takes no writes.")
	}
	if h.Writable == 0 {
		worse(rest.HealthUnavailable, "No storage node takes new data.")
	} else if h.Survive < h.Wanted {
		worse(rest.HealthDegraded, "New data survives %d node failures, %d are wanted.", h.Survive, h.Wanted)
	}
	if away := len(h.Nodes) - out.Nodes.Online; away > 0 {
		worse(rest.HealthDegraded, "%d of %d storage nodes are away.", away, len(h.Nodes))
	}
	if h.age > silentUpkeep {
		worse(rest.HealthDegraded, "No gateway has run the background work for %s: nothing is repaired.", h.age.Truncate(time.Minute))
	}
	if lag := time.Duration(h.log.Lag) * time.Second; lag > latestLog {
		worse(rest.HealthDegraded, "The metadata of the last %s is in the metadata store only: a loss of that could not be repaired from the nodes.", lag)
	}
	return out
}

// GetOpenAPI implements GET /openapi.json.
func (a *api) GetOpenAPI(c echo.Context) error {
	spec, err := server.GetSpecJSON()
	if err != nil {
		return err
	}
	return c.JSONBlob(http.StatusOK, spec)
}
