package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// allKinds returns every kind of store.
func allKinds() (kinds []store.Kind) {
	for k := store.Internal; k == store.Internal || k.String() != store.Internal.String(); k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// Every kind has a code, and an error is the same after the transfer.
func TestErrors_LoseNothing(t *testing.T) {
	t.Parallel()
	p := Peer{"storage node", "host:1", "hint"}
	require.Len(t, kindCodes, len(allKinds()))
	for _, kind := range allKinds() {
		require.Contains(t, kindCodes, kind)
		if kind == store.Canceled {
			continue // cancelled by the other side, which is Unavailable here
		}
		sent := &store.Error{Op: "chunkfs.Append", Kind: kind, Item: "an item", Msg: "a cause", Hint: "Do this.", Err: errors.New("deep")}
		got := p.Error(t.Context(), ToStatus(fmt.Errorf("wrapped: %w", sent)))
		require.ErrorIs(t, got, kind)
		require.Equal(t, sent.Error(), got.Error())
		require.Equal(t, "Do this.", store.HintOf(got))
		e, ok := errors.AsType[*store.Error](got)
		require.True(t, ok)
		require.Equal(t, "an item", e.Item)
		require.Equal(t, kindCodes[kind], status.Code(errors.Unwrap(got)))
	}
}

func TestErrors_OfGRPCItself(t *testing.T) {
	t.Parallel()
	p := Peer{"storage node", "host:1", "Look there."}
	for code, want := range map[codes.Code]store.Kind{
		codes.Unknown: store.Internal, codes.Unimplemented: store.Internal, codes.Internal: store.Internal,
		codes.Unavailable: store.Unavailable, codes.DataLoss: store.Corrupt, codes.ResourceExhausted: store.NoSpace,
		codes.Canceled: store.Unavailable, codes.DeadlineExceeded: store.Unavailable, codes.Unauthenticated: store.Denied,
		codes.FailedPrecondition: store.Conflict, codes.InvalidArgument: store.Invalid, codes.OutOfRange: store.OutOfRange,
	} {
		err := p.Error(t.Context(), status.Error(code, "text"))
		require.Equal(t, want.String(), store.KindOf(err).String(), "%v", code)
		require.ErrorContains(t, err, "host:1")
		require.ErrorContains(t, err, "text")
	}
	away := p.Error(t.Context(), status.Error(codes.Unavailable,
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`))
	require.EqualError(t, away, "storage node host:1 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused")
	require.Equal(t, "Look there.", store.HintOf(away))
	require.NoError(t, p.Error(t.Context(), nil))
}

// The end of the caller's context is reported with its cause, and hides no earlier error.
func TestErrors_OfAnEndedContext(t *testing.T) {
	t.Parallel()
	p := Peer{"storage node", "host:1", ""}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	err := p.Error(ctx, status.Error(codes.Canceled, "context canceled"))
	require.ErrorIs(t, err, store.Canceled)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.ErrorIs(t, p.Error(ctx, ToStatus(store.Errorf(store.Canceled, "there"))), store.Canceled)
	require.ErrorIs(t, p.Error(ctx, ToStatus(store.Errorf(store.Corrupt, "rot"))), store.Corrupt)

	deadline, cancelDeadline := context.WithTimeout(t.Context(), patienceForDeadline)
	defer cancelDeadline()
	err = p.Error(deadline, ToStatus(context.DeadlineExceeded)) // the server's clock ran ahead
	require.ErrorIs(t, err, store.Canceled)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, codes.DeadlineExceeded, status.Code(ToStatus(context.DeadlineExceeded)))
}

const patienceForDeadline = 1 << 40 // far away

func TestErrors_TextIsBoundedAndValid(t *testing.T) {
	t.Parallel()
	long := make([]byte, 3*maxErrorText)
	for i := range long {
		long[i] = 0xff
	}
	got := Peer{}.Error(t.Context(), ToStatus(&store.Error{Kind: store.Corrupt, Msg: string(long), Item: "\xff"}))
	require.ErrorIs(t, got, store.Corrupt)
	require.LessOrEqual(t, len(got.Error()), 2*maxErrorText)
}
