package rpc

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// requestHeader carries the id of the client's request that a call serves, so that the log
// lines of the node have the same id as those of the gateway.
const requestHeader = "ringstore-request"

func sendRequest(ctx context.Context) context.Context {
	if id := telemetry.Request(ctx); id != "" {
		return metadata.AppendToOutgoingContext(ctx, requestHeader, id)
	}
	return ctx
}

// unarySender and streamSender are the client's interceptors that send the id.
func unarySender(ctx context.Context, method string, req, resp any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(sendRequest(ctx), method, req, resp, conn, opts...)
}

func streamSender(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(sendRequest(ctx), desc, conn, method, opts...)
}

// receiveRequest returns a context with the id that the call carries. An id that could forge a log line is ignored.
func receiveRequest(ctx context.Context) context.Context {
	if ids := metadata.ValueFromIncomingContext(ctx, requestHeader); len(ids) == 1 && telemetry.ValidRequest(ids[0]) {
		return telemetry.WithRequest(ctx, ids[0])
	}
	return ctx
}

// LogFailure logs a call that failed: a defect or damaged data as a warning, what the other end handles at debug level.
func LogFailure(ctx context.Context, log *slog.Logger, method string, err error) {
	if err == nil {
		return
	}
	level := slog.LevelDebug
	if kind := store.KindOf(err); kind == store.Internal || kind == store.Corrupt {
		level = slog.LevelWarn
	}
	log.Log(ctx, level, "a call failed", "method", method, "error", err)
}
