package restapi

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
	maxHeader   = 16 << 10         // bytes of a request's headers; net/http lets up to 8 KiB more pass
)

// Server is an HTTP server for streams: it limits how long headers and idle
// connections may take, but not a whole request, which may carry gigabytes; the
// handler looks after clients that stall.
type Server struct {
	http *http.Server
}

// NewServer makes a server of the handler. log takes what net/http has to say; nil is slog.Default().
func NewServer(h http.Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.Default()
	}
	return &Server{http: &http.Server{
		Handler: onWire(h), ConnContext: withWire, ConnState: idleWire, ReadHeaderTimeout: headerLimit, IdleTimeout: keepLimit, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Serve answers on the listener until Shutdown or Close, and closes it. It
// returns nil then, and otherwise why it could not go on.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(wires{l}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown takes no more connections and waits for the requests under way. When
// ctx ends first they are broken off, and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	return err
}
