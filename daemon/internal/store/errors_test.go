package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// A limit and a wait survive every wrapping between the place that knows them and the surface that tells the client.
func TestErrors_CarryTheLimitAndTheWait(t *testing.T) {
	t.Parallel()
	inner := store.Errorf(store.Unavailable, "no memory is free").WithLimit("write_memory", 3*time.Second)
	for _, err := range []error{
		inner,
		fmt.Errorf("outer: %w", inner),
		&store.Error{Op: "engine.Put", Kind: store.Unavailable, Err: fmt.Errorf("more: %w", inner)},
	} {
		require.Equal(t, "write_memory", store.LimitOf(err))
		require.Equal(t, 3*time.Second, store.RetryAfterOf(err))
	}
	require.Empty(t, store.LimitOf(errors.New("other")))
	require.Zero(t, store.RetryAfterOf(store.Unavailable))
	require.Zero(t, store.RetryAfterOf(nil))
}

func TestKinds_HaveNamesThatParse(t *testing.T) {
	t.Parallel()
	for k := store.Internal; k <= store.PreconditionFailed; k++ {
		require.Equal(t, k, store.ParseKind(k.String()))
	}
	require.Equal(t, "outcome_unknown", store.OutcomeUnknown.String())
}
