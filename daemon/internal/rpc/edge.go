package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// unaryEdge is the interceptor of every admitted unary call, after its request has arrived:
// it translates errors and recovers from panics.
func unaryEdge(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
		ctx = receiveRequest(ctx)
		defer func() { err = ended(ctx, recover(), info.FullMethod, err, log) }()
		c := callOf(ctx)
		c.arrived()
		if c.refused != nil {
			return nil, c.refused
		}
		return handle(ctx, req)
	}
}

// streamEdge is the same for streams, whose requests arrive later.
func streamEdge(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
		ctx := receiveRequest(stream.Context())
		defer func() { err = ended(ctx, recover(), info.FullMethod, err, log) }()
		c := callOf(ctx)
		if c.refused != nil {
			return c.refused
		}
		err = handle(srv, &timedStream{ServerStream: stream, ctx: ctx, call: c, idle: c.idle})
		if limit := c.reached(); err != nil && limit != nil {
			return limit
		}
		return err
	}
}

// ended logs a failure and translates its error for the wire.
func ended(ctx context.Context, panicked any, method string, err error, log *slog.Logger) error {
	if panicked != nil {
		return ToStatus(Survive(ctx, panicked, method, nil, log))
	}
	LogFailure(ctx, log, method, err)
	return ToStatus(err)
}

// Survive converts a panic into an error of this call; where there was none it returns err. A panic is a defect, so the stack is logged.
func Survive(ctx context.Context, panicked any, method string, err error, log *slog.Logger) error {
	if panicked == nil {
		return err
	}
	log.ErrorContext(ctx, "a call panicked", "method", method, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return store.Errorf(store.Internal, "%s panicked", method).WithHint("This is a defect; the server's log has the details.")
}
