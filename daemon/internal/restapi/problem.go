package restapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// answer is the response for an error of a kind.
type answer struct {
	status int
	title  string
	hint   string // for errors without their own
}

// answers is the only table from kinds of error to HTTP. docs/adr/0041 gives the reasons.
var answers = map[store.Kind]answer{
	store.Internal:    {http.StatusInternalServerError, "Unexpected error", "Look for the request id in the gateway's log."},
	store.NotFound:    {http.StatusNotFound, "Not found", "GET /files and GET /buckets list files and buckets."},
	store.Exists:      {http.StatusConflict, "Already exists", "Choose another name."},
	store.Conflict:    {http.StatusConflict, "The current state does not allow it", "Read the current state, then try again."},
	store.Invalid:     {http.StatusBadRequest, "The request is wrong", "GET /openapi.json describes the request."},
	store.Denied:      {http.StatusForbidden, "Not allowed", "Use an access key that may do this."},
	store.Corrupt:     {http.StatusInternalServerError, "Stored data is damaged", "Too few chunks are intact; the file's metadata shows where they are."},
	store.NoQuorum:    {http.StatusServiceUnavailable, "Not safe now", "Nothing was stored. Try again; GET /nodes shows the storage nodes."},
	store.NoSpace:     {http.StatusInsufficientStorage, "The cluster is full", "Nothing was stored. Add storage nodes or delete files."},
	store.Unavailable: {http.StatusServiceUnavailable, "Not available now", "Try again; GET /health says what is missing."},
	store.Canceled:    {http.StatusRequestTimeout, "Timed out", "Try again."},
	store.TooLarge:    {http.StatusRequestEntityTooLarge, "Too large", "Send less at once."},
	store.OutOfRange:  {http.StatusRequestedRangeNotSatisfiable, "No such range", "Ask for a range within the file."},
	store.OutcomeUnknown: {
		http.StatusServiceUnavailable, "The outcome is not known",
		"It may have happened. Look at what the request would have changed before you repeat it.",
	},
}

// retryAfter is the Retry-After in seconds of a server-side failure whose error names no
// duration.
const retryAfter = 2

// statusError gives an error another status than its kind has.
type statusError struct {
	status int
	err    error
}

func withStatus(status int, err error) error { return &statusError{status, err} }

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// fail writes the problem document, unless the response was begun.
func (a *api) fail(c echo.Context, err error) {
	if c.Response().Committed {
		return
	}
	a.problem(c, problemOf(outOfTime(c, err)))
}

// outOfTime replaces Canceled where a time limit of the gateway ended a step while the
// client still waits and has sent its whole body. 408 would tell the client that it was
// too slow, and invite a repetition although the step may still take effect.
func outOfTime(c echo.Context, err error) error {
	g, ok := c.Response().Writer.(*guarded)
	if !ok || store.KindOf(err) != store.Canceled || c.Request().Context().Err() != nil || g.failed.Load() {
		return err
	}
	kind := store.OutcomeUnknown
	if m := c.Request().Method; m == http.MethodGet || m == http.MethodHead {
		kind = store.Unavailable
	}
	return &store.Error{Kind: kind, Err: err}
}

// problem writes a problem document. It removes the headers that the handler set for success.
func (a *api) problem(c echo.Context, p rest.Problem, headers ...string) {
	h := c.Response().Header()
	for _, name := range fileHeaders {
		delete(h, name)
	}
	dropMeta(h)
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	h.Set(echo.HeaderCacheControl, "no-store")
	p.Instance = "urn:ringstore:request:" + requestID(c)
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Basic realm="ringstore", charset="UTF-8"`)
	case http.StatusServiceUnavailable:
		if p.RetryAfter == 0 {
			p.RetryAfter = retryAfter
		}
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if err := write(c, p.Status, "application/problem+json", p); err != nil {
		a.cfg.Log.Debug("an answer did not reach its client", "request", requestID(c), "error", visibleError{err})
	}
}

// problemOf describes an error to the client. The text of unexpected errors is left out,
// because it may contain internal details.
func problemOf(err error) rest.Problem {
	err = fromEcho(err)
	kind := store.KindOf(err)
	as := answers[kind]
	p := rest.Problem{
		Type: "urn:ringstore:problem:" + kind.String(), Title: as.title, Status: as.status,
		Code: rest.ProblemCode(kind.String()), Detail: err.Error(), Hint: as.hint,
		Limit: store.LimitOf(err), RetryAfter: int((store.RetryAfterOf(err) + time.Second - 1) / time.Second),
	}
	if kind == store.Internal {
		p.Detail = "unexpected error"
	}
	if hint := store.HintOf(err); hint != "" {
		p.Hint = hint
	}
	var other *statusError
	if errors.As(err, &other) {
		p.Status = other.status
		if kind == store.Corrupt {
			p.Title = "The bytes do not match their checksum"
		}
	}
	return p
}

// fromEcho translates errors of the router and of the generated binding.
func fromEcho(err error) error {
	var he *echo.HTTPError
	if !errors.As(err, &he) {
		return err
	}
	switch he.Code {
	case http.StatusNotFound:
		return store.Errorf(store.NotFound, "there is nothing at this path").WithHint("GET /openapi.json describes all paths.")
	case http.StatusMethodNotAllowed:
		return withStatus(he.Code, store.Errorf(store.Invalid, "this path does not support this method").
			WithHint("The Allow header lists the supported methods."))
	case http.StatusBadRequest:
		return store.Errorf(store.Invalid, "%s", fmt.Sprint(he.Message)).WithHint("GET /openapi.json describes the parameters.")
	}
	return err
}

// write writes v as JSON.
func write(c echo.Context, status int, contentType string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	body = append(body, '\n')
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, contentType)
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	c.Response().WriteHeader(status)
	_, err = c.Response().Write(body)
	return err
}

func writeJSON(c echo.Context, status int, v any) error {
	return write(c, status, echo.MIMEApplicationJSON, v)
}
