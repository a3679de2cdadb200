package engine

import (
	"context"
	"errors"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// A step of the metadata store whose answer was lost may have happened, or may still happen later; a lookup proves
// nothing. It is resolved by a fence (see store.Metadata): either the step has happened, and the request
// succeeded, or it never will, and its chunks may be reclaimed. While the store does not answer the fence either, the
// request is answered with OutcomeUnknown, and the fence is retried in the background.

const (
	// commitLimit bounds a step that makes a change visible. A client that disconnects
	// does not cancel it: that would leave its outcome unknown needlessly.
	commitLimit = 15 * time.Second
	// fenceLimit bounds how long a request waits for its outcome.
	fenceLimit = 10 * time.Second
	// fencePause is the pause between two attempts in the background, and fenceFor limits their time. A step that is not
	// fenced by then is not reclaimed either: its chunks stay until a scrub finds them.
	fencePause = 5 * time.Second
	fenceFor   = time.Hour
)

// outcomeOpen reports whether a step of the metadata store that returned err may have happened.
func outcomeOpen(err error) bool {
	switch store.KindOf(err) {
	case store.Unavailable, store.Canceled, store.Internal, store.OutcomeUnknown:
		return true
	}
	return false
}

// outcome is what a fence found.
type outcome uint8

const (
	unknown   outcome = iota // the store does not answer
	abandoned                // it did not happen, and never will
	happened                 // it happened, and is durable
)

// resolveOutcome decides a step whose answer was lost, by its fence: nil when the step has happened, otherwise the error for the client. The
// fence returns Conflict where the step has happened. When it has no answer within fenceLimit it is
// retried in the background, and late is called if the step turns out to have happened.
func (e *Engine) resolveOutcome(op, item string, cause error, fence func(context.Context) error, late func()) error {
	try := func() outcome {
		ctx, cancel := context.WithTimeout(context.Background(), fenceLimit)
		defer cancel()
		err := fence(ctx)
		switch {
		case err == nil:
			return abandoned
		case errors.Is(err, store.Conflict):
			return happened
		}
		return unknown
	}
	switch try() {
	case happened:
		return nil
	case abandoned:
		return notDone(op, cause)
	}
	e.background.Go(func() {
		e.untilAnswered(func() bool {
			found := try()
			if found == happened {
				late()
			}
			return found != unknown
		})
	})
	return notKnown(op, item, cause)
}

// untilAnswered calls f, with pauses, until it returns true, the engine closes, or fenceFor is over.
func (e *Engine) untilAnswered(f func() bool) {
	for end := time.Now().Add(fenceFor); time.Now().Before(end); {
		select {
		case <-e.closing.Done():
			return
		case <-time.After(fencePause):
		}
		if f() {
			return
		}
	}
}

// persist executes in the background what a failed request leaves to do in the metadata store. It retries while the
// store does not answer; a refusal ends it. ctx is never canceled. failed is called with the last error.
func (e *Engine) persist(ctx context.Context, do func(context.Context) error, failed func(error)) {
	e.background.Go(func() {
		var err error
		try := func() bool {
			ctx, cancel := context.WithTimeout(ctx, backgroundLimit)
			defer cancel()
			err = do(ctx)
			return err == nil || !outcomeOpen(err)
		}
		if !try() {
			e.untilAnswered(try)
		}
		if err != nil && !errors.Is(err, store.Conflict) {
			failed(err)
		}
	})
}

// abandonFence is the fence of changes that carry an attempt id.
func (e *Engine) abandonFence(attempt store.AttemptID) func(context.Context) error {
	return func(ctx context.Context) error {
		done, err := e.meta.Abandon(ctx, attempt)
		if err == nil && done {
			return store.Errorf(store.Conflict, "the change happened")
		}
		return err
	}
}

// change runs a step that carries an attempt id. done reports that the step happened although its answer was lost: then the step's
// own results are not set. Otherwise err is its result.
func (e *Engine) change(ctx context.Context, op string, step func(context.Context, store.AttemptID) error) (done bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, &store.Error{Op: op, Kind: store.Canceled, Err: err} // the caller has left: nothing is started for it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	attempt := store.NewAttemptID()
	err = step(ctx, attempt)
	if err == nil || !outcomeOpen(err) {
		return false, err
	}
	err = e.resolveOutcome(op, "", err, e.abandonFence(attempt), e.cfg.WakeReclaim)
	return err == nil, err
}

// notDone is the error of a request whose change was fenced: it did not happen.
func notDone(op string, cause error) error {
	return &store.Error{
		Op: op, Kind: store.Unavailable, Err: cause, RetryAfter: time.Second,
		Msg: "the metadata store did not answer in time; nothing was changed", Hint: "Try again.",
	}
}

// notKnown is the error of a request whose outcome is unknown.
func notKnown(op, item string, cause error) error {
	return &store.Error{
		Op: op, Kind: store.OutcomeUnknown, Item: item, Err: cause, RetryAfter: fencePause,
		Msg:  "the metadata store was lost while the change was being made; whether it happened is not known yet",
		Hint: "When the metadata store answers again, check whether it happened, or repeat the request.",
	}
}
