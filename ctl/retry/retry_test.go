package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/proto/problem"
)

func away() error { return fault.New(problem.Unavailable, "away") }

func TestDo_WaitsForAServerThatStarts(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, retry.DefaultWait, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			p := retry.After(wait)
			began, tries := time.Now(), 0
			require.Error(t, p.Do(t.Context(), func() error { tries++; return away() }))
			require.Equal(t, wait, time.Since(began), "neither longer nor shorter")
			require.Equal(t, wait == 0, tries == 1)

			require.NoError(t, p.Do(t.Context(), func() error { return nil }))
			began = time.Now()
			require.Error(t, p.Do(t.Context(), away))
			require.Equal(t, p.Patience, time.Since(began), "once it was reached it is waited for longer")
			if wait > 0 {
				require.Equal(t, max(wait, retry.DefaultPatience), p.Patience)
			}
		})
	}
}

// While other operations succeed the server is reachable: patience counts from their last success.
func TestDo_PatienceIsTimeWithoutProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := retry.After(time.Second)
		began := time.Now()
		go func() {
			for range 20 {
				_ = p.Do(t.Context(), func() error { return nil })
				time.Sleep(time.Minute)
			}
		}()
		time.Sleep(time.Second)
		require.Error(t, p.Do(t.Context(), away))
		require.InDelta(t, (19*time.Minute + 5*time.Minute).Seconds(), time.Since(began).Seconds(), 20)
	})
}

func TestDo_EndsAtOnceWithItsContext(t *testing.T) {
	t.Parallel()
	var pauses []time.Duration
	ctx, cancel := context.WithCancel(t.Context())
	p := retry.Policy{Wait: time.Hour, Notify: func(e retry.Event) {
		pauses = append(pauses, e.Pause)
		cancel() // the test does not wait for the pause
	}}
	err := p.Do(ctx, func() error {
		e := fault.New(problem.Unavailable, "busy")
		e.RetryAfter = 42 * time.Second
		return e
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []time.Duration{42 * time.Second}, pauses, "the server's own pause is kept")
}

func TestDo_WhatIsNotRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		count := func(err error) func() error { return func() error { tries++; return err } }
		p := retry.After(time.Hour)
		plain := errors.New("plain")
		for _, err := range []error{plain, fault.New(problem.Denied, "no"), fault.New(problem.NotFound, "no"), fault.New(problem.NoSpace, "full")} {
			tries = 0
			require.Equal(t, err, p.Do(t.Context(), count(err)))
			require.Equal(t, 1, tries)
		}
		tries = 0
		require.Error(t, p.Do(t.Context(), count(fault.New(problem.Corrupt, "wrong"))))
		require.Equal(t, 6, tries, "bytes that stay wrong are named, not waited for")
		tries, p.Tries = 0, 3
		require.Error(t, p.Do(t.Context(), count(away())))
		require.Equal(t, 3, tries, "as many as the user allows")
		tries = 0
		require.Error(t, retry.Policy{}.Do(t.Context(), count(away())))
		require.Equal(t, 1, tries)
	})
}

// The events of an outage: failures with the time that is left to them, and then that it works.
func TestDo_TellsOfAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var events []retry.Event
		p := retry.After(time.Minute)
		p.Notify = func(e retry.Event) { events = append(events, e) }
		failures := 0
		n, err := retry.Try(t.Context(), p, func() (int, error) {
			if failures++; failures < 4 {
				return 0, away()
			}
			return 7, nil
		})
		require.NoError(t, err)
		require.Equal(t, 7, n)
		require.Len(t, events, 4)
		for _, e := range events[:3] {
			require.Error(t, e.Err)
			require.Equal(t, time.Minute, e.Limit)
			require.Positive(t, e.Pause)
		}
		require.NoError(t, events[3].Err)
		events = nil
		require.NoError(t, p.Do(t.Context(), func() error { return nil }))
		require.Empty(t, events, "nothing was wrong")
	})
}
