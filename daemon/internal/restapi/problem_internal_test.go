package restapi

import (
	"context"
	"encoding/json"
	"fmt"
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
	a := &api{cfg: Config{Idle: time.Minute}}
	rec := httptest.NewRecorder()
	c := echo.New().NewContext(httptest.NewRequestWithContext(t.Context(), method, "/files", strings.NewReader("x")), rec)
	require.NoError(t, a.guard(func(c echo.Context) error {
		if prepare != nil {
			prepare(c)
		}
		a.fail(c, err)
		return nil
	})(c))
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
		interrupt(c, store.Errorf(store.Canceled, "another request took over"))
		_, _ = bodyOf(c).Read(make([]byte, 1))
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

	p, h = answerTo(t, "POST", nil, withStatus(http.StatusTooManyRequests, full))
	require.Equal(t, http.StatusTooManyRequests, p.Status)
	require.Equal(t, "3", h.Get("Retry-After"))

	p, h = answerTo(t, "POST", nil, store.Errorf(store.TooLarge, "too large").WithLimit("file_size", 0))
	require.Equal(t, "file_size", p.Limit)
	require.Zero(t, p.RetryAfter)
	require.Empty(t, h.Get("Retry-After"), "waiting does not help")
}
