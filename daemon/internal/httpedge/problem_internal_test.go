package httpedge

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// answerTo returns the problem document for a handler's error, and its headers.
func answerTo(t *testing.T, method string, prepare func(echo.Context), err error) (rest.Problem, http.Header) {
	t.Helper()
	rec := httptest.NewRecorder()
	router := New(Config{Log: slog.New(slog.DiscardHandler), Public: []string{"/files"}})
	router.Add(method, "/files", func(c echo.Context) error {
		if prepare != nil {
			prepare(c)
		}
		return err
	})
	router.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, "/files", strings.NewReader("x")))
	var p rest.Problem
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &p))
	require.Equal(t, rec.Code, p.Status)
	return p, rec.Header()
}

// A time limit of the gateway is never reported as the client's fault, nor as proof that nothing happened.
func TestProblem_OwnTimeLimitsAreNot408(t *testing.T) {
	t.Parallel()
	late := fmt.Errorf("postgres.CommitFile: %w", context.DeadlineExceeded)
	for method, code := range map[string]rest.ProblemCode{
		"POST": rest.CodeOutcomeUnknown, "PUT": rest.CodeOutcomeUnknown, "DELETE": rest.CodeOutcomeUnknown, "PATCH": rest.CodeOutcomeUnknown,
		"GET": rest.CodeUnavailable,
	} {
		p, h := answerTo(t, method, nil, late)
		require.Equal(t, http.StatusServiceUnavailable, p.Status, method)
		require.Equal(t, code, p.Code, method)
		require.NotEmpty(t, p.Hint)
		require.Equal(t, "2", h.Get("Retry-After"))
		require.Equal(t, 2, p.RetryAfter)
	}
	p, _ := answerTo(t, "POST", func(c echo.Context) {
		Interrupter(c)(store.Errorf(store.Canceled, "another request took over"))
		_, _ = Body(c).Read(make([]byte, 1))
	}, late)
	require.Equal(t, http.StatusRequestTimeout, p.Status, "here it was the body that did not come")
	p, _ = answerTo(t, "POST", func(c echo.Context) {
		ctx, cancel := context.WithCancel(c.Request().Context())
		cancel()
		c.SetRequest(c.Request().WithContext(ctx))
	}, late)
	require.Equal(t, http.StatusRequestTimeout, p.Status, "the client went away")
}

func TestProblem_NamesTheLimitAndWhenToComeBack(t *testing.T) {
	t.Parallel()
	full := store.Errorf(store.Unavailable, "no memory for another upload").WithLimit("write_memory", 2100*time.Millisecond)
	p, h := answerTo(t, "POST", nil, fmt.Errorf("engine.Put: %w", full))
	require.Equal(t, http.StatusServiceUnavailable, p.Status)
	require.Equal(t, "write_memory", p.Limit)
	require.Equal(t, 3, p.RetryAfter, "rounded up: earlier would be too early")
	require.Equal(t, "3", h.Get("Retry-After"))

	p, h = answerTo(t, "POST", nil, WithStatus(http.StatusTooManyRequests, full))
	require.Equal(t, http.StatusTooManyRequests, p.Status)
	require.Equal(t, "3", h.Get("Retry-After"))

	p, h = answerTo(t, "POST", nil, store.Errorf(store.TooLarge, "too large").WithLimit("file_size", 0))
	require.Equal(t, "file_size", p.Limit)
	require.Zero(t, p.RetryAfter)
	require.Empty(t, h.Get("Retry-After"), "waiting does not help")
}

// Every kind of error has a row in the table with an error status.
func TestEveryKindHasAnAnswer(t *testing.T) {
	t.Parallel()
	for kind := store.Internal; kind.String() != "internal" || kind == store.Internal; kind++ {
		as, ok := answers[kind]
		require.True(t, ok, kind.String())
		require.GreaterOrEqual(t, as.status, 400)
		require.NotEmpty(t, as.title)
		require.NotEmpty(t, as.hint)
		p := ProblemOf(store.Errorf(kind, "the cause"))
		require.Equal(t, kind.String(), string(p.Code))
		require.True(t, p.Code.Valid())
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	p := ProblemOf(store.Errorf(store.Internal, "password=secret"))
	require.NotContains(t, p.Detail+p.Hint, "secret")
	require.Equal(t, http.StatusInternalServerError, p.Status)
	p = ProblemOf(store.Errorf(store.Conflict, "c").WithHint("Do this."))
	require.Equal(t, "Do this.", p.Hint)
	require.Equal(t, http.StatusTeapot, ProblemOf(WithStatus(http.StatusTeapot, store.Conflict)).Status)
}

// The packages below name no routes; the surface adds the one that shows more.
func TestProblem_AddsTheRoute(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]*store.Error{
		"Do this. GET /health says what is missing.":   store.Errorf(store.Unavailable, "x").WithHint("Do this."),
		"Do this. GET /nodes shows the storage nodes.": store.Errorf(store.NoQuorum, "x").WithHint("Do this."),
		"Do this. GET /sessions lists them.":           store.Errorf(store.Unavailable, "x").WithLimit("open_sessions", time.Second).WithHint("Do this."),
		"Do this.":                                     store.Errorf(store.Unavailable, "x").WithLimit("write_memory", time.Second).WithHint("Do this."),
		"Try again. GET /health says what is missing.": store.Errorf(store.Unavailable, "x"),
	} {
		require.Equal(t, want, ProblemOf(err).Hint)
	}
}
