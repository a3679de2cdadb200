package httpedge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

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
	store.NoQuorum:    {http.StatusServiceUnavailable, "Not safe now", "Nothing was stored. Try again."},
	store.NoSpace:     {http.StatusInsufficientStorage, "The cluster is full", "Nothing was stored. Add storage nodes or delete files."},
	store.Unavailable: {http.StatusServiceUnavailable, "Not available now", "Try again."},
	store.Canceled:    {http.StatusRequestTimeout, "Timed out", "Try again."},
	store.TooLarge:    {http.StatusRequestEntityTooLarge, "Too large", "Send less at once."},
	store.OutOfRange:  {http.StatusRequestedRangeNotSatisfiable, "No such range", "Ask for a range within the file."},
	store.OutcomeUnknown: {
		http.StatusServiceUnavailable, "The outcome is not known",
		"It may have happened. Look at what the request would have changed before you repeat it.",
	},
	store.PreconditionFailed: {http.StatusPreconditionFailed, "The condition does not hold", "Read the object again, then decide."},
}

// routes name the route that shows more about an error, added to its hint: the packages below know no routes.
var routes = map[store.Kind]string{
	store.NoQuorum:    "GET /nodes shows the storage nodes.",
	store.Unavailable: "GET /health says what is missing.",
}

// retryAfter is the Retry-After in seconds of a server-side failure whose error names no
// duration.
const retryAfter = 2

// outOfTime replaces Canceled where a time limit of the gateway ended a step while the
// client still waits and has sent its whole body. 408 would tell the client that it was
// too slow, and invite a repetition although the step may still take effect.
func outOfTime(c echo.Context, err error) error {
	g, ok := c.Response().Writer.(*guarded)
	if !ok || store.KindOf(err) != store.Canceled || c.Request().Context().Err() != nil || g.failed.Load() {
		return err
	}
	kind := store.OutcomeUnknown
	if methodReads(c.Request().Method) {
		kind = store.Unavailable
	}
	return &store.Error{Kind: kind, Err: err}
}

// Problems renders errors as problem documents (RFC 9457).
type Problems struct{}

// WriteError implements Errors.
func (Problems) WriteError(c echo.Context, err error) error { return WriteProblem(c, ProblemOf(err)) }

// Document implements Errors.
func (Problems) Document(err error) (status int, contentType string, body []byte) {
	p := ProblemOf(err)
	body, _ = json.Marshal(p) // texts and numbers: it cannot fail
	return p.Status, problemType, append(body, '\n')
}

const problemType = "application/problem+json"

// WriteProblem writes a problem document; it adds what follows from its status and the request's id.
func WriteProblem(c echo.Context, p rest.Problem) error {
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-store")
	p.Instance = "urn:ringstore:request:" + RequestID(c)
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set(echo.HeaderWWWAuthenticate, `Basic realm="ringstore", charset="UTF-8"`)
	case http.StatusServiceUnavailable:
		if p.RetryAfter == 0 {
			p.RetryAfter = retryAfter
		}
	}
	if p.RetryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(p.RetryAfter))
	}
	return write(c, p.Status, problemType, p)
}

// ProblemOf describes an error to the client. The text of unexpected errors is left out,
// because it may contain internal details.
func ProblemOf(err error) rest.Problem {
	err = fromEcho(err)
	kind := store.KindOf(err)
	as := answers[kind]
	p := rest.Problem{
		Type: "urn:ringstore:problem:" + kind.String(), Title: as.title, Status: as.status,
		Code: rest.ProblemCode(kind.String()), Detail: err.Error(), Hint: as.hint,
		Limit: store.LimitOf(err), RetryAfter: secondsOf(store.RetryAfterOf(err)),
	}
	if kind == store.Internal {
		p.Detail = "unexpected error"
	}
	if hint := store.HintOf(err); hint != "" {
		p.Hint = hint
	}
	if more := routeFor(p.Limit, kind); more != "" {
		p.Hint += " " + more
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

// routeFor returns the route that shows more about an error: of the limit that was hit, otherwise of the kind.
func routeFor(limit string, kind store.Kind) string {
	switch limit {
	case "":
		return routes[kind]
	case "open_sessions":
		return "GET /sessions lists them."
	}
	return ""
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
		return WithStatus(he.Code, store.Errorf(store.Invalid, "this path does not support this method").
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

// WriteJSON writes v as a JSON document.
func WriteJSON(c echo.Context, status int, v any) error {
	return write(c, status, echo.MIMEApplicationJSON, v)
}
