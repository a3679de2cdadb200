package restapi_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/restapi"
	"github.com/ringstore/ringstore/proto/rest"
)

// throttled is a rig that limits failures; with proxy set, addresses come from X-Forwarded-For.
func throttled(t *testing.T, proxies ...string) *rig {
	t.Helper()
	p, err := httpedge.ParseProxies(proxies)
	require.NoError(t, err)
	return newRig(t, setup{config: func(c *restapi.Config) {
		c.Failures, c.TrustedProxies = access.NewThrottle(access.ThrottleConfig{Log: c.Log}), p
	}})
}

// guess tries wrong keys from an address until it gets 429.
func (r *rig) guess(from string) reply {
	r.t.Helper()
	for range 1000 {
		got := r.call("GET", "/files", nil, "Authorization", basic("guess", "wrong"), "X-Forwarded-For", from)
		if got.status != http.StatusUnauthorized {
			return got
		}
	}
	require.FailNow(r.t, "guesses are not slowed")
	return reply{}
}

func TestAuthentication_FailuresAreSlowed(t *testing.T) {
	t.Parallel()
	r := throttled(t)
	r.put("x", []byte("x")) // the key is in use
	got := r.guess("192.0.2.1")
	p := refused(t, got, http.StatusTooManyRequests, rest.CodeUnavailable)
	require.Equal(t, "failed_authentications", p.Limit)
	require.Positive(t, p.RetryAfter)
	require.Equal(t, strconv.Itoa(p.RetryAfter), got.header.Get("Retry-After"))
	for range 10 {
		require.Equal(t, http.StatusOK, r.call("GET", "/files", nil).status, "a key that is in use does not wait for what others tried")
	}
	require.Equal(t, http.StatusOK, r.bare("GET", "/health").status)
	got = r.call("GET", "/files", nil, "Authorization", basic("guess", "wrong"), "X-Forwarded-For", "198.51.100.7", "Forwarded", "for=198.51.100.7")
	require.Equal(t, http.StatusTooManyRequests, got.status, "a client that is no trusted proxy does not say who it is")
}

func TestAuthentication_BehindATrustedProxyEachClientCounts(t *testing.T) {
	t.Parallel()
	r := throttled(t, "127.0.0.0/8")
	require.Equal(t, http.StatusTooManyRequests, r.guess("192.0.2.1").status)
	got := r.call("GET", "/files", nil, "Authorization", basic("guess", "wrong"), "X-Forwarded-For", "192.0.2.2")
	require.Equal(t, http.StatusUnauthorized, got.status, "another client has not failed")
	got = r.call("GET", "/files", nil, "Authorization", basic("guess", "wrong"), "X-Forwarded-For", "203.0.113.9, 192.0.2.1")
	require.Equal(t, http.StatusTooManyRequests, got.status, "what stands before the last address is only the client's word")
	r.call("GET", "/files", nil, "X-Forwarded-For", "192.0.2.77")
	for {
		if l := r.ended("GET"); l.attrs["client"].String() == "192.0.2.77" {
			return // the log names the client, not the proxy
		}
	}
}
