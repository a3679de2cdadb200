package rpc

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

// kindCodes is the nearest gRPC code of each kind. The exact kind is sent as a detail.
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
	// gRPC's code for "the operation may have happened".
	store.OutcomeUnknown:     codes.DeadlineExceeded,
	store.PreconditionFailed: codes.FailedPrecondition,
}

// codeKinds is for answers without an exact kind: from gRPC itself, or from another
// implementation of the server. Codes that are missing are Internal.
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
	// The other side ended the call; the caller's own context is checked first.
	codes.Canceled:         store.Unavailable,
	codes.DeadlineExceeded: store.Unavailable,
}

// maxErrorText bounds an error's message on the wire, in bytes.
const maxErrorText = 2 << 10

// ToStatus converts the error of a handler to a status. A status is returned unchanged.
func ToStatus(err error) error {
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
	return WithCode(code, err)
}

// WithCode converts an error to a status with a code other than the kind's.
func WithCode(code codes.Code, err error) error {
	s, bad := status.New(code, strings.ToValidUTF8(err.Error(), "?")).WithDetails(Detail(err, maxErrorText))
	if bad != nil { // cannot happen: the detail is a plain message
		return status.Error(codes.Internal, bad.Error())
	}
	return s.Err()
}

// Detail is the error as it is sent, each text of at most limit bytes.
func Detail(err error, limit int) *storagev1.Error {
	detail := &storagev1.Error{Kind: store.KindOf(err).String(), Hint: store.HintOf(err), Message: err.Error()}
	if e, ok := errors.AsType[*store.Error](err); ok {
		detail.Op, detail.Item = e.Op, e.Item
		detail.Message = (&store.Error{Kind: e.Kind, Msg: e.Msg, Err: e.Err}).Error()
	}
	for _, text := range []*string{&detail.Op, &detail.Item, &detail.Message, &detail.Hint} {
		*text = strings.ToValidUTF8((*text)[:min(len(*text), limit)], "?")
	}
	return detail
}

// FromDetail is the error that was sent; nil where none was.
func FromDetail(d *storagev1.Error) error {
	if d == nil {
		return nil
	}
	return fromDetail(d, nil)
}

// Peer describes the other end in messages.
type Peer struct {
	What    string // "storage node", "gateway"
	Address string // host:port
	Hint    string // what to do when it cannot be reached
}

// Error translates an error of gRPC for a call under ctx to a *store.Error. No error of
// gRPC passes beyond it.
func (p Peer) Error(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	for _, d := range s.Details() {
		if detail, ok := d.(*storagev1.Error); ok && detail.GetKind() != store.Canceled.String() {
			return fromDetail(detail, err)
		}
	}
	if ended := EndOf(ctx, s.Code()); ended != nil {
		return ended
	}
	kind, ok := codeKinds[s.Code()]
	if !ok {
		kind = store.Internal
	}
	e := &store.Error{Kind: kind, Err: remote{err: err}}
	if kind != store.Unavailable {
		e.Msg = fmt.Sprintf("%s %s: %s", p.What, p.Address, s.Message())
		return e
	}
	e.Msg = fmt.Sprintf("%s %s cannot be reached: %s", p.What, p.Address, plainCause(s.Message()))
	e.Hint = p.Hint
	return e
}

// EndOf returns the error of a context that has ended, or nil. The deadline is sent to the
// other end, where it may pass a moment earlier than here.
func EndOf(ctx context.Context, code codes.Code) error {
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

// fromDetail is the error that was sent, with the answer of gRPC that it came with, or nil.
func fromDetail(d *storagev1.Error, answer error) error {
	e := &store.Error{Op: d.GetOp(), Kind: store.ParseKind(d.GetKind()), Item: d.GetItem(), Msg: d.GetMessage(), Hint: d.GetHint()}
	if answer != nil {
		e.Err = remote{err: answer}
	}
	return e
}

// remote wraps gRPC's error, so that its code is available; its text is in the message already.
type remote struct{ err error }

func (remote) Error() string   { return "" }
func (r remote) Unwrap() error { return r.err }

// plainCause removes gRPC's wrapping from the reason why a connection failed.
func plainCause(text string) string {
	if i := strings.LastIndex(text, `desc = "`); i >= 0 {
		text = strings.TrimSuffix(text[i+len(`desc = "`):], `"`)
	}
	text = strings.TrimPrefix(text, "transport: ")
	return strings.TrimPrefix(text, "Error while dialing: ")
}

// statusError is the interface of gRPC's own errors.
type statusError interface {
	error
	GRPCStatus() *status.Status
}

// CodeOf returns the code with which the other end answered, or OK if it did not.
func CodeOf(err error) codes.Code {
	if s, ok := errors.AsType[statusError](err); ok {
		return status.Convert(s).Code()
	}
	return codes.OK
}
