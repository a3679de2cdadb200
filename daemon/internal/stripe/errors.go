package stripe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// notEnough is the error of a write that cannot be acknowledged.
func notEnough(placed []store.Placement, got, required int, errs []error) error {
	kind := store.NoQuorum
	for _, err := range errs {
		switch {
		case errors.Is(err, store.NoSpace):
			kind = store.NoSpace
		case errors.Is(err, context.Canceled):
			return &store.Error{Kind: store.Canceled, Err: err}
		}
	}
	durable := 0
	for _, c := range placed {
		if !c.Node.IsZero() {
			durable++
		}
	}
	e := store.Errorf(kind, "%d of %d chunks are durable, which survives %s; a write is acknowledged when it survives %d: %w",
		durable, len(placed), failures(got), required, firstFew(errs))
	return e.WithHint("Nothing was stored. Try again; start the storage nodes that are missing, and free space on full ones.")
}

// firstFew keeps a message readable: many failures at once usually have one cause.
func firstFew(errs []error) error {
	const few = 3
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > few {
		errs = append(errs[:few:few], fmt.Errorf("and %d more", len(errs)-few))
	}
	return errors.Join(errs...)
}

func failures(n int) string {
	switch {
	case n < 0:
		return "nothing"
	case n == 0:
		return "no further node failure"
	case n == 1:
		return "1 further node failure"
	}
	return "several further node failures"
}
