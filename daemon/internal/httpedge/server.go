package httpedge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerLimit = 15 * time.Second // for a request's headers to arrive
	keepLimit   = 2 * time.Minute  // for the next request on a connection to begin
	maxHeader   = 16 << 10         // bytes of a request's headers; net/http accepts up to 8 KiB more
)

// Server is an HTTP server for streams: it limits the time of headers and of idle
// connections, but not of a whole request, which may carry gigabytes; the handler aborts
// requests of clients that stall.
type Server struct {
	errors Errors
	http   *http.Server
}

// NewServer returns a server of the handler. render renders the errors of requests that reach
// no handler; log receives the messages of net/http; nil is slog.Default().
func NewServer(h http.Handler, render Errors, log *slog.Logger) *Server {
	if log == nil {
		log = slog.Default()
	}
	return &Server{errors: render, http: &http.Server{
		Handler: onWire(h), ConnContext: withWire, ConnState: idleWire, ReadHeaderTimeout: headerLimit, IdleTimeout: keepLimit, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Serve accepts connections until Shutdown and closes the listener. It returns nil after
// Shutdown, and otherwise the error that ended it.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(wires{l, s.errors}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown accepts no more connections and waits for the requests in progress. When ctx
// ends first their connections are closed, and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}
