// Package wait lets time pass.
package wait

import (
	"context"
	"time"
)

// For waits, and returns nil, or as soon as ctx ends its error. A duration that is not positive ends at once.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
