// Package telemetry sets up the daemons' logs, and the request id that connects the log
// lines of one request.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Format is the form of log lines.
type Format string

// The formats.
const (
	Auto Format = "auto" // text on a terminal, JSON elsewhere
	JSON Format = "json" // one object per line, for machines
	Text Format = "text" // one line per event, for people; coloured on a terminal unless NO_COLOR is set
)

// NewLogger returns a logger that writes to w. Control characters and characters that
// change the direction of text are escaped, wherever the text came from. Events logged
// with the context of a request carry its id as "request". level is debug, info, warn or error. Errors: Invalid.
func NewLogger(w io.Writer, level string, format Format) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, store.Errorf(store.Invalid, "log level %q is unknown", level).WithHint("Choose debug, info, warn or error.")
	}
	terminal := IsTerminal(w)
	if format == Auto {
		if format = JSON; terminal {
			format = Text
		}
	}
	switch format {
	case JSON:
		return slog.New(withRequest{cleaned{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})}}), nil
	case Text:
		plain := !terminal || os.Getenv("NO_COLOR") != ""
		return slog.New(withRequest{cleaned{tint.NewTextHandler(w, &tint.Options{Level: least, TimeFormat: "15:04:05.000", NoColor: plain})}}), nil
	}
	return nil, store.Errorf(store.Invalid, "log format %q is unknown", format).WithHint("Choose auto, json or text.")
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ValidRequest reports whether text from outside can be a request id: short, and without
// characters that could forge a log line.
func ValidRequest(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

type requestKey struct{}

// WithRequest returns a context that carries the id of a request.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// Request returns the request id of ctx, or "".
func Request(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// withRequest adds the id of the request to each event.
type withRequest struct{ slog.Handler }

func (h withRequest) Handle(ctx context.Context, r slog.Record) error {
	if id := Request(ctx); id != "" {
		r.AddAttrs(slog.String("request", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h withRequest) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withRequest{h.Handler.WithAttrs(attrs)}
}

func (h withRequest) WithGroup(name string) slog.Handler {
	return withRequest{h.Handler.WithGroup(name)}
}
