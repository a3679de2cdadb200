package noderpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// kindCodes is the nearest gRPC code of each kind. The exact kind travels beside it.
var kindCodes = map[store.Kind]codes.Code{
	store.Internal:    codes.Internal,
	store.NotFound:    codes.NotFound,
	store.Exists:      codes.AlreadyExists,
	store.Conflict:    codes.Aborted,
	store.Invalid:     codes.InvalidArgument,
	store.Denied:      codes.PermissionDenied,
	store.Corrupt:     codes.DataLoss,
	store.NoQuorum:    codes.Unavailable,
	store.NoSpace:     codes.ResourceExhausted,
	store.Unavailable: codes.Unavailable,
	store.Canceled:    codes.Canceled,
	store.TooLarge:    codes.ResourceExhausted,
	store.OutOfRange:  codes.OutOfRange,
	// gRPC's word for "it may have happened all the same".
	store.OutcomeUnknown: codes.DeadlineExceeded,
}

// codeKinds is for answers that carry no exact kind: from gRPC itself, or from
// a server of other make. What is missing is Internal.
var codeKinds = map[codes.Code]store.Kind{
	codes.InvalidArgument:    store.Invalid,
	codes.NotFound:           store.NotFound,
	codes.AlreadyExists:      store.Exists,
	codes.PermissionDenied:   store.Denied,
	codes.Unauthenticated:    store.Denied,
	codes.ResourceExhausted:  store.NoSpace,
	codes.FailedPrecondition: store.Conflict,
	codes.Aborted:            store.Conflict,
	codes.OutOfRange:         store.OutOfRange,
	codes.Unavailable:        store.Unavailable,
	codes.DataLoss:           store.Corrupt,
	// The other side gave up, not the caller, whose own context is looked at first.
	codes.Canceled:         store.Unavailable,
	codes.DeadlineExceeded: store.Unavailable,
}

// maxErrorText bounds an error's message on the wire, in bytes.
const maxErrorText = 2 << 10

// toStatus makes the answer of a handler that failed. Statuses stay as they are.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[statusError](err); ok {
		return err
	}
	kind := store.KindOf(err)
	code := kindCodes[kind]
	if errors.Is(err, context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	return withCode(code, err)
}

// withCode makes the status of an error where the code says more than its kind.
func withCode(code codes.Code, err error) error {
	detail := &storagev1.Error{Kind: store.KindOf(err).String(), Hint: store.HintOf(err), Message: err.Error()}
	if e, ok := errors.AsType[*store.Error](err); ok {
		detail.Op, detail.Item = e.Op, e.Item
		detail.Message = (&store.Error{Kind: e.Kind, Msg: e.Msg, Err: e.Err}).Error()
	}
	for _, text := range []*string{&detail.Op, &detail.Item, &detail.Message, &detail.Hint} {
		*text = strings.ToValidUTF8((*text)[:min(len(*text), maxErrorText)], "?")
	}
	s, bad := status.New(code, strings.ToValidUTF8(err.Error(), "?")).WithDetails(detail)
	if bad != nil { // the detail is a plain message, so it always encodes
		return status.Error(codes.Internal, bad.Error())
	}
	return s.Err()
}

// peer is the other end, for messages.
type peer struct {
	what    string // "storage node", "gateway"
	address string
	hint    string // what to do when it cannot be reached
}

// fromStatus translates what gRPC returned for a call under ctx. It is where
// gRPC's errors end: everything above sees *store.Error.
func (p peer) fromStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	for _, d := range s.Details() {
		if detail, ok := d.(*storagev1.Error); ok && detail.GetKind() != store.Canceled.String() {
			return fromDetail(detail, err)
		}
	}
	if ended := endOf(ctx, s.Code()); ended != nil {
		return ended
	}
	kind, ok := codeKinds[s.Code()]
	if !ok {
		kind = store.Internal
	}
	e := &store.Error{Kind: kind, Err: remote{err: err}}
	if kind != store.Unavailable {
		e.Msg = fmt.Sprintf("%s %s: %s", p.what, p.address, s.Message())
		return e
	}
	e.Msg = fmt.Sprintf("%s %s cannot be reached: %s", p.what, p.address, plainCause(s.Message()))
	e.Hint = p.hint
	return e
}

// endOf gives the error of a context that is over, or nil. A deadline that was
// sent along may be over on the other end a moment sooner than here.
func endOf(ctx context.Context, code codes.Code) error {
	cause := context.Cause(ctx)
	if cause == nil {
		if _, has := ctx.Deadline(); !has || code != codes.DeadlineExceeded {
			return nil
		}
		cause = context.DeadlineExceeded
	}
	if e, ok := errors.AsType[*store.Error](cause); ok {
		return e
	}
	return &store.Error{Kind: store.Canceled, Err: cause}
}

func fromDetail(d *storagev1.Error, err error) error {
	return &store.Error{
		Op: d.GetOp(), Kind: store.ParseKind(d.GetKind()), Item: d.GetItem(),
		Msg: d.GetMessage(), Hint: d.GetHint(), Err: remote{err: err},
	}
}

// remote keeps gRPC's error for those who ask for its code; its text is in the message already.
type remote struct{ err error }

func (remote) Error() string   { return "" }
func (r remote) Unwrap() error { return r.err }

// plainCause takes gRPC's wrapping off the reason why a connection failed.
func plainCause(text string) string {
	if i := strings.LastIndex(text, `desc = "`); i >= 0 {
		text = strings.TrimSuffix(text[i+len(`desc = "`):], `"`)
	}
	text = strings.TrimPrefix(text, "transport: ")
	return strings.TrimPrefix(text, "Error while dialing: ")
}

// statusError is what gRPC's own errors are.
type statusError interface {
	error
	GRPCStatus() *status.Status
}
