package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Bounds of what a server can make s3ctl do or show.
const (
	maxRetryAfter = time.Minute
	maxWords      = 2 << 10 // bytes of a detail or hint
)

// refusal converts an answer with an error status to a *fault.Error. The server's hint is kept separate from those of
// s3ctl and shown as the server's.
func (c *Client) refusal(resp *http.Response) error {
	if resp.StatusCode/100 == 3 {
		return c.redirected(resp)
	}
	e := &fault.Error{RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}
	var p rest.Problem
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	isProblem := strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json")
	if err == nil && isProblem && json.Unmarshal(data, &p) == nil && p.Code != "" {
		e.Kind, e.Msg, e.Said = problem.Parse(string(p.Code)), serverText(p.Detail), serverText(p.Hint)
	} else {
		// The answer is from a proxy, or from a server that is not a gateway.
		e.Kind, e.Msg, e.Hint = kindOfStatus[resp.StatusCode], c.base+" answered "+resp.Status, noGateway
	}
	if e.Msg == "" {
		e.Msg = serverText(p.Title)
	}
	if e.Kind == problem.Denied && resp.StatusCode == http.StatusUnauthorized {
		e.Hint = "check the access key and secret of the profile: s3ctl profile add"
	}
	return e
}

// redirected is the error of a redirect. It is permanent: a gateway never redirects.
func (c *Client) redirected(resp *http.Response) error {
	return fault.New(problem.Invalid, "%s answered %s, to %q; redirects are not followed, since that would send the access key there",
		c.base, resp.Status, serverText(resp.Header.Get("Location"))).
		WithHint("use the gateway's own URL as the endpoint: s3ctl profile add NAME --endpoint URL")
}

// serverText shortens a text from the server to one line of bounded length.
func serverText(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}

// kindOfStatus are the kinds of answers without a problem document; of others: Internal.
var kindOfStatus = map[int]problem.Kind{
	http.StatusBadRequest:                   problem.Invalid,
	http.StatusUnauthorized:                 problem.Denied,
	http.StatusForbidden:                    problem.Denied,
	http.StatusNotFound:                     problem.NotFound,
	http.StatusConflict:                     problem.Conflict,
	http.StatusPreconditionFailed:           problem.PreconditionFailed,
	http.StatusRequestEntityTooLarge:        problem.TooLarge,
	http.StatusRequestedRangeNotSatisfiable: problem.OutOfRange,
	http.StatusInsufficientStorage:          problem.NoSpace,
	http.StatusRequestTimeout:               problem.Unavailable,
	http.StatusTooManyRequests:              problem.Unavailable,
	http.StatusBadGateway:                   problem.Unavailable,
	http.StatusServiceUnavailable:           problem.Unavailable,
	http.StatusGatewayTimeout:               problem.Unavailable,
}

// retryAfter parses the header if it is a number of seconds. A date is ignored, because the clocks may differ.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}

var (
	errTimeout = errors.New("no answer within a minute")
	errStalled = errors.New("the connection stalled: nothing was received")
)

// translate converts an error of the HTTP library to a *fault.Error. The end of the caller's context is returned unchanged.
// An untrusted certificate and a port without TLS are permanent errors; all others may be retried.
func (c *Client) translate(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return e
	}
	if cause := context.Cause(ctx); cause != nil {
		if !errors.Is(cause, errTimeout) && !errors.Is(cause, errStalled) {
			return ctx.Err()
		}
		err = cause
	}
	// Remove the layers that only repeat method, URL and address.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if s, ok := errors.AsType[*os.SyscallError](err); ok {
		err = s.Err
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	e := &fault.Error{
		Kind: problem.Unavailable, Msg: fmt.Sprintf("cannot reach %s", c.base), Err: err, Away: true,
		Hint: "check that the server runs (`make up` starts one here), or choose another with --profile; s3ctl profile ls shows them",
	}
	switch {
	case untrusted:
		e.Kind, e.Msg, e.Hint = problem.Denied, "the certificate of "+c.base+" is not trusted", trust
		if _, name := errors.AsType[x509.HostnameError](err); name {
			e.Hint = "use a host name of the certificate in the endpoint: s3ctl profile add NAME --endpoint URL"
		}
	case errors.Is(err, http.ErrSchemeMismatch):
		e.Kind, e.Hint = problem.Invalid, "the server does not use TLS on this port: use http:// in the endpoint, or the port with TLS"
	}
	return e
}

// trust is the hint for an untrusted certificate.
const trust = "if it is the right server, trust the authority that issued the certificate: SSL_CERT_FILE=/path/ca.pem s3ctl …, or add it to the system's authorities; s3ctl help environment"
