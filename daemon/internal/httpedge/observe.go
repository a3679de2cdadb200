package httpedge

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// ErrBroken marks a response that was begun and cannot be finished: the connection is
// closed, so that the client detects that the body is incomplete.
var ErrBroken = errors.New("the response ended early")

// observe assigns the request id and the deadlines, turns errors and panics into responses, and logs. The
// context of the request carries the id to every log line of the calls below, on the nodes too.
func (e *edge) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		r := c.Request()
		id := e.ids.of(r)
		c.Response().Header()[headerRequestID] = []string{id}
		guard(c, e.cfg.Idle, began)
		c.SetRequest(r.WithContext(telemetry.WithRequest(r.Context(), id)))
		err := e.recovered(next, c)
		if err != nil {
			e.fail(c, err)
		}
		e.log(c, began, err)
		if errors.Is(err, ErrBroken) {
			panic(http.ErrAbortHandler) // the server closes the connection without ending the body
		}
		return nil
	}
}

// recovered admits the request and runs the handler; a panic becomes an error.
func (e *edge) recovered(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.cfg.Log.ErrorContext(c.Request().Context(), "request panicked", "panic", visible(fmt.Sprint(p)), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
			if c.Response().Committed {
				err = fmt.Errorf("%w: %w", ErrBroken, err)
			}
		}
	}()
	if answered, err := e.crossOrigin(c); answered || err != nil {
		return err
	}
	if err := e.authenticate(c); err != nil {
		return err
	}
	if err := wellFormed(c.Request()); err != nil {
		return err
	}
	return next(c)
}

// log writes one line per request: errors that an operator must act on at warn or error
// level, others at debug level. Text from clients and nodes is escaped.
func (e *edge) log(c echo.Context, began time.Time, err error) {
	level := slog.LevelDebug
	if status := c.Response().Status; err != nil && status >= 500 {
		level = slog.LevelWarn
		if status == http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	ctx := c.Request().Context()
	if !e.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", c.Request().Method), slog.String("path", visible(c.Request().URL.EscapedPath())),
		slog.Int("status", c.Response().Status), slog.Int64("bytes", c.Response().Size),
		slog.Duration("took", time.Since(began)), slog.String("client", e.cfg.TrustedProxies.clientAddress(c.Request()).String()),
	}
	if key := Caller(c).AccessKey; key != "" {
		attrs = append(attrs, slog.String("key", visible(key)))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", visibleError{err}))
	}
	e.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}
