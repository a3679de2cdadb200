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

// answer is how an error of a kind looks to the client.
type answer struct {
	status int
	title  string
	hint   string // where the error brings none
}

// answers is THE table from kinds of error to HTTP. docs/adr/0041 says why each is as it is.
var answers = map[store.Kind]answer{
	store.Internal:    {http.StatusInternalServerError, "Unexpected error", "Look for the request id in the gateway's log."},
	store.NotFound:    {http.StatusNotFound, "Not found", "GET /files and GET /buckets list what is there."},
	store.Exists:      {http.StatusConflict, "There already", "Choose another name."},
	store.Conflict:    {http.StatusConflict, "The state does not allow it", "Look at the present state, then try again."},
	store.Invalid:     {http.StatusBadRequest, "The request is wrong", "GET /openapi.json describes the request."},
	store.Denied:      {http.StatusForbidden, "Not allowed", "Use an access key that may do this."},
	store.Corrupt:     {http.StatusInternalServerError, "Stored data is damaged", "Too few chunks are whole; the file's metadata shows where they are."},
	store.NoQuorum:    {http.StatusServiceUnavailable, "Not safe now", "Nothing was stored. Try again; GET /nodes shows the storage nodes."},
	store.NoSpace:     {http.StatusInsufficientStorage, "The cluster is full", "Nothing was stored. Add storage nodes or delete files."},
	store.Unavailable: {http.StatusServiceUnavailable, "Not available now", "Try again; GET /health says what is missing."},
	store.Canceled:    {http.StatusRequestTimeout, "Gave up waiting", "Try again."},
	store.TooLarge:    {http.StatusRequestEntityTooLarge, "Too large", "Send less at once."},
	store.OutOfRange:  {http.StatusRequestedRangeNotSatisfiable, "No such range", "Ask for a range within the file."},
	store.OutcomeUnknown: {
		http.StatusServiceUnavailable, "The outcome is not known",
		"It may have happened. Look at what the request would have changed before you repeat it.",
	},
}

// retryAfter is what a client is told to wait, in seconds, when the trouble is
// ours and the error does not say how long it will last.
const retryAfter = 2

// statusError gives an error another status than its kind has.
type statusError struct {
	status int
	err    error
}

func withStatus(status int, err error) error { return &statusError{status, err} }

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// fail answers with the problem, unless the answer was begun.
func (a *api) fail(c echo.Context, err error) {
	if c.Response().Committed {
		return
	}
	a.problem(c, problemOf(outOfTime(c, err)))
}

// outOfTime replaces Canceled where it was a time limit of ours that ended a step, while
// the client still waits and has sent all that it was asked for. 408 would tell it
// that it was too slow, and invite a repetition although the step may still happen.
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

// problem writes a problem document. Headers that the handler set for a success go.
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

// problemOf describes an error to the client. Of unexpected ones it tells no
// more than that: their text may hold what is nobody's business.
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

// fromEcho translates what the router and the generated binding report.
func fromEcho(err error) error {
	var he *echo.HTTPError
	if !errors.As(err, &he) {
		return err
	}
	switch he.Code {
	case http.StatusNotFound:
		return store.Errorf(store.NotFound, "there is nothing at this address").WithHint("GET /openapi.json describes what there is.")
	case http.StatusMethodNotAllowed:
		return withStatus(he.Code, store.Errorf(store.Invalid, "this address does not take this method").
			WithHint("The Allow header says which it takes."))
	case http.StatusBadRequest:
		return store.Errorf(store.Invalid, "%s", fmt.Sprint(he.Message)).WithHint("GET /openapi.json describes the parameters.")
	}
	return err
}

// write answers with v as JSON.
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
