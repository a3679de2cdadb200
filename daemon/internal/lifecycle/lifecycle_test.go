package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// diary records events in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, s)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, ", ")
}

func (d *diary) service(name string) lifecycle.Service {
	return lifecycle.Service{
		Name:  name,
		Start: func(context.Context) error { d.note("start " + name); return nil },
		Run: func(ctx context.Context) error {
			<-ctx.Done()
			d.note("end " + name)
			return ctx.Err()
		},
		Stop: func(context.Context) error { d.note("stop " + name); return nil },
	}
}

func TestStartsInOrderAndStopsInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := lifecycle.NewGroup(quiet)
		for _, name := range []string{"a", "b", "c"} {
			g.Add(d.service(name))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, g.Run(ctx))
		require.Equal(t, "start a, start b, start c, stop c, end c, stop b, end b, stop a, end a", d.String())
	})
}

func TestTheFirstFailureStopsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		broken := errors.New("broken pipe")
		g := lifecycle.NewGroup(quiet)
		g.Add(d.service("a"))
		g.Add(lifecycle.Service{Name: "done", Run: func(context.Context) error { return nil }})
		g.Add(lifecycle.Service{Name: "b", Run: func(context.Context) error { time.Sleep(time.Minute); return broken }})
		g.Add(d.service("c"))
		begin := time.Now()
		err := g.Run(t.Context())
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "run of b")
		require.Equal(t, time.Minute, time.Since(begin), "a service that is done is no failure")
		require.Equal(t, "start a, start c, stop c, end c, stop a, end a", d.String())
	})
}

func TestAFailedStartStopsWhatWasStarted(t *testing.T) {
	t.Parallel()
	var d diary
	taken := errors.New("address in use")
	g := lifecycle.NewGroup(quiet)
	g.Add(d.service("a"))
	bad := d.service("b")
	bad.Start = func(context.Context) error { return taken }
	g.Add(bad)
	g.Add(d.service("c"))
	err := g.Run(t.Context())
	require.ErrorIs(t, err, taken)
	require.ErrorContains(t, err, "start of b")
	require.Equal(t, "start a, stop a, end a", d.String())
}

func TestAskedToStopWhileStarting(t *testing.T) {
	t.Parallel()
	var d diary
	ctx, cancel := context.WithCancel(t.Context())
	g := lifecycle.NewGroup(quiet)
	g.Add(d.service("a"))
	g.Add(lifecycle.Service{Name: "b", Start: func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }})
	g.Add(d.service("c"))
	require.NoError(t, g.Run(ctx))
	require.Equal(t, "start a, stop a, end a", d.String())
}

func TestErrorsOfStoppingAreReported(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cut := errors.New("cut off")
	g := lifecycle.NewGroup(quiet)
	g.Add(lifecycle.Service{Name: "a", Start: func(context.Context) error { cancel(); return nil }, Stop: func(context.Context) error { return cut }})
	err := g.Run(ctx)
	require.ErrorIs(t, err, cut)
	require.ErrorContains(t, err, "stop of a")
}

func TestAStopIsToldWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g := lifecycle.NewGroup(quiet)
		started, stop := context.WithCancel(context.Background())
		g.Add(lifecycle.Service{Name: "a", Start: func(context.Context) error { return nil }})
		require.NoError(t, g.Run(ctx), "asked to stop before the start")

		g = lifecycle.NewGroup(quiet)
		g.Add(lifecycle.Service{
			Name: "b", Limit: 2 * time.Second,
			Run:  func(ctx context.Context) error { stop(); <-ctx.Done(); return nil },
			Stop: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		})
		begin := time.Now()
		err := g.Run(started)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 2*time.Second, time.Since(begin))
	})
}

func TestAServiceThatHangsIsLeftBehindWithADump(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var out bytes.Buffer
		never := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g := lifecycle.NewGroup(slog.New(slog.NewTextHandler(&out, nil)))
		g.Add(d.service("a"))
		g.Add(lifecycle.Service{Name: "stuck", Limit: 3 * time.Second, Run: func(context.Context) error { <-never; return nil }})
		err := g.Run(ctx)
		require.ErrorContains(t, err, "stop of stuck: still running after 3s")
		require.Equal(t, "start a, stop a, end a", d.String(), "the others are stopped all the same")
		require.Contains(t, out.String(), "TestAServiceThatHangsIsLeftBehindWithADump")
		close(never)
	})
}
