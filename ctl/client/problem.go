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
	"github.com/ringstore/ringstore/proto/rest"
)

// Bounds of what a server may make us do or show.
const (
	maxRetryAfter = time.Minute // to wait
	maxWords      = 2 << 10     // bytes of a detail or hint
)

// refusal makes a fault of an answer that is not a success. What the server says to do is
// kept apart from our own hints, and is shown as the server's.
func (c *Client) refusal(resp *http.Response) error {
	if resp.StatusCode/100 == 3 {
		return c.redirected(resp)
	}
	e := &fault.Error{RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}
	var p rest.Problem
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	isProblem := strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json")
	if err == nil && isProblem && json.Unmarshal(data, &p) == nil && p.Code != "" {
		e.Kind, e.Msg, e.Said = string(p.Code), words(p.Detail), words(p.Hint)
	} else {
		// Something between us and the gateway, or no gateway at all, answered.
		e.Kind, e.Msg, e.Hint = kindOfStatus(resp.StatusCode), c.base+" answered "+resp.Status, noGateway
	}
	if e.Msg == "" {
		e.Msg = words(p.Title)
	}
	if e.Kind == "denied" && resp.StatusCode == http.StatusUnauthorized {
		e.Hint = "check the access key and secret of the profile: s3ctl profile add"
	}
	return e
}

// redirected is the error of an answer that points elsewhere: final, as a gateway never does that.
func (c *Client) redirected(resp *http.Response) error {
	return fault.New("invalid", "%s answered %s, to %q; no redirect is followed, since it would take the access key there",
		c.base, resp.Status, words(resp.Header.Get("Location"))).
		WithHint("name the gateway itself as the endpoint: s3ctl profile add NAME --endpoint URL")
}

// words are a server's own, on one line and of a length that can be shown.
func words(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}

// kindOfStatus is for answers that carry no problem document.
func kindOfStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "denied"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusRequestedRangeNotSatisfiable:
		return "out_of_range"
	case http.StatusInsufficientStorage:
		return "no_space"
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "unavailable"
	}
	return "internal"
}

// retryAfter reads the header: seconds, or a date, which a wrong clock would
// make useless and is passed over.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}

var (
	errTimeout = errors.New("no answer within a minute")
	errStalled = errors.New("nothing was received any more")
)

// translate makes a fault of what the HTTP library returned. The context's own
// end stays what it is: only its owner knows what it means. What waiting does not change is final: a certificate that
// is not trusted, or a port that speaks no TLS.
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
	// What failed is said already; these only repeat method, URL and address.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if s, ok := errors.AsType[*os.SyscallError](err); ok {
		err = s.Err
	}
	e := &fault.Error{
		Kind: "unavailable", Msg: fmt.Sprintf("cannot talk to %s", c.base), Err: err,
		Hint: "check that the server runs (`make up` starts one here), or choose another with --profile; s3ctl profile ls shows them",
	}
	switch {
	case untrusted(err):
		e.Kind, e.Msg, e.Hint = "denied", "the certificate of "+c.base+" is not trusted", trust
		if _, name := errors.AsType[x509.HostnameError](err); name {
			e.Hint = "use a name that the certificate has in the endpoint: s3ctl profile add NAME --endpoint URL"
		}
	case errors.Is(err, http.ErrSchemeMismatch):
		e.Kind, e.Hint = "invalid", "the server speaks no TLS: use http:// in the endpoint, or the port that speaks it"
	}
	return e
}

// trust says how to trust a certificate.
const trust = "if it is the right server, trust the authority that issued the certificate: SSL_CERT_FILE=/path/ca.pem s3ctl …, or add it to the system's; s3ctl help environment"

// untrusted tells the errors of a certificate's verification.
func untrusted(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, roots := errors.AsType[x509.SystemRootsError](err)
	return verification || authority || invalid || name || roots
}
