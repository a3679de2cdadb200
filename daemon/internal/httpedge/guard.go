package httpedge

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// guard aborts the request when its client stalls. A time limit on the whole request would
// end slow transfers of large files, so each read and each write has its own deadline.
//
// net/http sets the read deadline again for the next request on the connection. It
// discards a body that the handler left unread only until the deadline set here.
func guard(c echo.Context, idle time.Duration, now time.Time) {
	g := &guarded{ResponseWriter: c.Response().Writer, received: c.Request(), idle: idle}
	g.control = *http.NewResponseController(g.ResponseWriter)
	g.armWrite(now) // also for the 100 Continue that the first read may send
	g.body = guardedBody{from: c.Request().Body, g: g}
	if c.Request().Body != http.NoBody {
		g.body.arm(now)
	}
	c.Response().Writer = g
}

// Body returns the request's body with deadlines. Its errors are domain errors: io.EOF;
// Canceled (the client stalled or disconnected), Invalid (broken framing). It does not replace
// Request.Body, by whose type the server decides whether a body that was refused must be
// read to its end.
func Body(c echo.Context) io.Reader { return &guardedOf(c).body }

// Interrupter returns the function that makes all further reads of the request's body fail
// with its cause. The function may be called from any goroutine; the first cause wins.
func Interrupter(c echo.Context) func(cause error) { return guardedOf(c).interrupt }

// Trailer returns the trailers of the request, complete once the body was read to its end.
func Trailer(c echo.Context) http.Header { return guardedOf(c).received.Trailer }

func guardedOf(c echo.Context) *guarded { return c.Response().Writer.(*guarded) }

func (g *guarded) interrupt(cause error) {
	g.broken.CompareAndSwap(nil, &cause)
	_ = g.control.SetReadDeadline(time.Unix(1, 0)) // a read in progress ends too
}

// guarded is a response writer in which every write has a deadline, and what the edge
// knows of the request.
type guarded struct {
	http.ResponseWriter
	received *http.Request // as net/http passed it; trailers arrive in it
	control  http.ResponseController
	idle     time.Duration
	armed    time.Time // when the write deadline was last set
	body     guardedBody
	caller   access.Principal
	broken   atomic.Pointer[error] // why interrupt was called
	failed   atomic.Bool           // the body ended early: the client stalled or disconnected, or another request took over
}

// Unwrap gives http.ResponseController access to the connection.
func (g *guarded) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// Write forwards p in one piece: a client must accept the bytes of one call, at most a
// unit, within the idle time.
func (g *guarded) Write(p []byte) (int, error) {
	if now := time.Now(); stale(g.armed, now, g.idle) {
		g.armWrite(now)
	}
	return g.ResponseWriter.Write(p)
}

func (g *guarded) armWrite(now time.Time) {
	// An error means that there is no connection below, as in tests with a recorder.
	_ = g.control.SetWriteDeadline(now.Add(g.idle))
	g.armed = now
}

// stale reports whether a deadline is old enough to be set again: setting it costs more
// than a small read.
func stale(armed, now time.Time, idle time.Duration) bool { return now.Sub(armed) > idle/16 }

// guardedBody is a request body in which every read has a deadline. Its errors are
// domain errors.
type guardedBody struct {
	from  io.Reader
	g     *guarded
	armed time.Time // when the read deadline was last set
}

// Read implements io.Reader. Errors: io.EOF; Canceled (the client stalled or disconnected), Invalid (broken framing).
func (b *guardedBody) Read(p []byte) (int, error) {
	if now := time.Now(); stale(b.armed, now, b.g.idle) {
		b.arm(now)
	}
	if cause := b.g.broken.Load(); cause != nil { // after arm, which resets the deadline of interrupt
		b.g.failed.Store(true)
		return 0, *cause
	}
	n, err := b.from.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		// From here on the server itself reads, to detect a client that
		// disconnects: an expired deadline would look like that.
		_ = b.g.control.SetReadDeadline(time.Time{})
		return n, io.EOF
	}
	b.g.failed.Store(true)
	if cause := b.g.broken.Load(); cause != nil {
		return n, *cause
	}
	return n, b.translate(err)
}

func (b *guardedBody) arm(now time.Time) {
	_ = b.g.control.SetReadDeadline(now.Add(b.g.idle)) // as in armWrite
	b.armed = now
}

// translate turns an error of a read from the connection into a domain error. It does
// not wrap: some readers would take a wrapped io.ErrUnexpectedEOF for the body's end.
func (b *guardedBody) translate(err error) error {
	const again = "Send it again."
	var network net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return store.Errorf(store.Canceled, "the body stalled for %v", b.g.idle).WithHint(again)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network), errors.Is(err, http.ErrBodyReadAfterClose):
		return store.Errorf(store.Canceled, "the body ended early: %v", err).WithHint(again)
	}
	return store.Errorf(store.Invalid, "the body cannot be read: %v", err).
		WithHint("Check how the client frames the body: Content-Length or chunks.")
}
