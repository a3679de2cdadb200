package restapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// guard gives up clients that stall. A time limit on the whole request would
// cut off slow clients with large files, so each read and each write has its own.
//
// net/http looks after what comes later: it sets the read deadline anew for the
// next request on the connection, and reads on past a body that the handler
// left unread only as long as the deadline set here lets it.
func (a *api) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		g := &guarded{ResponseWriter: c.Response().Writer, idle: a.cfg.Idle}
		g.control = http.NewResponseController(g.ResponseWriter)
		now := time.Now()
		g.armWrite(now) // also for the 100 Continue that the first read may send
		g.body = guardedBody{from: c.Request().Body, g: g}
		if c.Request().Body != http.NoBody {
			g.body.arm(now)
		}
		c.Response().Writer = g
		return next(c)
	}
}

// bodyOf gives the request's body, guarded. It does not take the place of
// Request.Body, by whose type the server decides whether a body that was refused
// must be read to its end.
func bodyOf(c echo.Context) io.Reader { return &c.Response().Writer.(*guarded).body }

// breakOff makes reads of the request's body fail from now on, from any goroutine.
func breakOff(c echo.Context) {
	g := c.Response().Writer.(*guarded)
	g.broken.Store(true)
	_ = g.control.SetReadDeadline(time.Unix(1, 0)) // a read under way ends too
}

// guarded is a response writer whose every write has a deadline.
type guarded struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
	armed   time.Time // when the write deadline was last set
	body    guardedBody
	broken  atomic.Bool // breakOff was called
	failed  atomic.Bool // the body ended before its end: the client stalled, went away, or another request took over
}

// Unwrap lets http.ResponseController find the connection.
func (g *guarded) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// Write passes p on in one piece: a client must take what a reader hands over at
// once, at most a unit, within the idle time.
func (g *guarded) Write(p []byte) (int, error) {
	if now := time.Now(); stale(g.armed, now, g.idle) {
		g.armWrite(now)
	}
	return g.ResponseWriter.Write(p)
}

func (g *guarded) armWrite(now time.Time) {
	// An error means that there is no connection under it, as in tests with a recorder.
	_ = g.control.SetWriteDeadline(now.Add(g.idle))
	g.armed = now
}

// stale says whether a deadline is old enough to be worth setting anew: setting
// one costs more than a small read.
func stale(armed, now time.Time, idle time.Duration) bool { return now.Sub(armed) > idle/16 }

// guardedBody is a request body whose every read has a deadline, and whose
// errors are the domain's.
type guardedBody struct {
	from  io.Reader
	g     *guarded
	armed time.Time // when the read deadline was last set
}

// Read implements io.Reader. Errors: io.EOF; Canceled (the client stalled or went away), Invalid (broken framing).
func (b *guardedBody) Read(p []byte) (int, error) {
	if now := time.Now(); stale(b.armed, now, b.g.idle) {
		b.arm(now)
	}
	if b.g.broken.Load() { // behind arm, which would let it go on
		b.g.failed.Store(true)
		return 0, store.Errorf(store.Canceled, "another request took over")
	}
	n, err := b.from.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		// From here on the server itself reads, to notice a client that goes
		// away: a deadline that ran out would look like one.
		_ = b.g.control.SetReadDeadline(time.Time{})
		return n, io.EOF
	}
	b.g.failed.Store(true)
	return n, b.translate(err)
}

func (b *guardedBody) arm(now time.Time) {
	_ = b.g.control.SetReadDeadline(now.Add(b.g.idle)) // as in armWrite
	b.armed = now
}

// translate makes one of the domain's errors of what reading the connection met. It
// does not wrap: an io.ErrUnexpectedEOF below would look like a body's end to some readers.
func (b *guardedBody) translate(err error) error {
	const again = "Send it again."
	var network net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return store.Errorf(store.Canceled, "the body stalled for %v", b.g.idle).WithHint(again)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network), errors.Is(err, http.ErrBodyReadAfterClose):
		return store.Errorf(store.Canceled, "the body broke off: %v", err).WithHint(again)
	}
	return store.Errorf(store.Invalid, "the body cannot be read: %v", err).
		WithHint("Check how the client frames the body: Content-Length or chunks.")
}
