package httpedge

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// wire is a connection of the server. It observes two things that net/http hides from
// handlers: requests with both Content-Length and Transfer-Encoding, of which net/http
// drops the former, and net/http's own responses to requests that it cannot parse.
type wire struct {
	net.Conn
	errors    Errors
	lengths   atomic.Int64 // Content-Length lines that may have been in headers
	explained int64        // of them, those of requests that reached handlers; only the server's goroutine uses it
	answering atomic.Bool  // a handler writes now, not net/http itself
	carry     []byte       // the end of the last read, in case a line continues in the next one
}

const lengthLine = "\ncontent-length:"

// headerRead is the largest read by which net/http reads headers, the size of its
// buffer. Larger reads bypass the buffer and contain bytes of one body only.
const headerRead = 4 << 10

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if len(p) > headerRead {
		w.carry = w.carry[:0]
	} else if n > 0 {
		w.watch(p[:n])
	}
	return n, err
}

// watch counts lines that begin with Content-Length. Lines of bodies count, too: closing a
// connection needlessly is harmless, keeping one that must be closed is not.
func (w *wire) watch(p []byte) {
	const short = len(lengthLine) - 1 // shorter than a line, so none counts twice
	var buffer [2 * short]byte
	seam := append(append(buffer[:0], w.carry...), p[:min(len(p), short)]...)
	if n := lengthsIn(seam) + lengthsIn(p); n > 0 {
		w.lengths.Add(n)
	}
	end := p
	if len(p) < short {
		end = seam
	}
	w.carry = append(w.carry[:0], end[max(0, len(end)-short):]...)
}

func lengthsIn(p []byte) (n int64) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 || len(p)-i < len(lengthLine) {
			return n
		}
		if strings.EqualFold(string(p[i:i+len(lengthLine)]), lengthLine) {
			n++
		}
		p = p[i+1:]
	}
}

// ambiguous reports whether the request may have had both a length and chunks. A proxy
// between client and server may have delimited such a request by its length and take the
// bytes after it for another request.
func (w *wire) ambiguous(r *http.Request) bool {
	if len(r.TransferEncoding) > 0 {
		return w.lengths.Load() > w.explained
	}
	if r.Header.Get("Content-Length") != "" {
		w.explained++
	}
	return false
}

// Write implements net.Conn. Error responses of net/http itself are rendered by Errors.
func (w *wire) Write(p []byte) (int, error) {
	if w.answering.Load() {
		return w.Conn.Write(p)
	}
	refusal := refusalFor(p, w.errors)
	if refusal == nil {
		return w.Conn.Write(p)
	}
	if _, err := w.Conn.Write(refusal); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite lets the server end a response before it closes the connection.
func (w *wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// refusalFor returns the response to send in place of one that net/http wrote without a
// handler; nil if that is not an error response.
func refusalFor(p []byte, errors Errors) []byte {
	line, ok := strings.CutPrefix(string(p[:min(len(p), 256)]), "HTTP/1.1 ")
	if !ok {
		return nil
	}
	line, _, _ = strings.Cut(line, "\r\n")
	code, text, _ := strings.Cut(line, " ")
	status, err := strconv.Atoi(code)
	if err != nil || status < 400 {
		return nil
	}
	status, contentType, body := errors.Document(WithStatus(status, unreadable(status, text)))
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"+
		"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s", status, http.StatusText(status), contentType, len(body), body)
}

// unreadable describes the error of a request that never reached a handler. text is
// net/http's reason phrase, which quotes nothing of the request.
func unreadable(status int, text string) error {
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		return store.Errorf(store.TooLarge, "the request line and headers have more than %d bytes", maxHeader).
			WithLimit("header_size", 0).WithHint("Send fewer or shorter headers.")
	case http.StatusExpectationFailed:
		return store.Errorf(store.Invalid, "the Expect header names an expectation that is not supported").WithHint("Send Expect: 100-continue, or leave it out.")
	case http.StatusNotImplemented:
		return store.Errorf(store.Invalid, "the Transfer-Encoding is not supported").WithHint("Send Transfer-Encoding: chunked, or a Content-Length.")
	case http.StatusHTTPVersionNotSupported:
		return store.Errorf(store.Invalid, "the version of HTTP is not supported").WithHint("Use HTTP/1.1.")
	}
	detail := "the request line or a header cannot be read"
	if _, cause, ok := strings.Cut(text, ": "); ok {
		detail = cause
	}
	return store.Errorf(store.Invalid, "%s", detail).WithHint("Check how the client writes the request: a line, headers, an empty line.")
}

// wires wraps each accepted connection in a wire.
type wires struct {
	net.Listener
	errors Errors
}

// Accept implements net.Listener.
func (l wires) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c, errors: l.errors}, nil
}

type wireKey struct{}

func withWire(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, wireKey{}, c)
}

// onWire marks on the connection that a handler responds, and closes the connection after
// an ambiguous request.
func onWire(next http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if w, ok := r.Context().Value(wireKey{}).(*wire); ok {
			w.answering.Store(true)
			if w.ambiguous(r) {
				out.Header().Set("Connection", "close")
			}
		}
		next.ServeHTTP(out, r)
	})
}

// idleWire is the server's ConnState hook: the next response is again net/http's own until
// a handler is called.
func idleWire(c net.Conn, state http.ConnState) {
	if w, ok := c.(*wire); ok && state == http.StateIdle {
		w.answering.Store(false)
	}
}
