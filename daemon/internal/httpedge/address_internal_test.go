package httpedge

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.9", "::ffff:192.0.2.10"})
	require.NoError(t, err)
	for name, tc := range map[string]struct{ peer, forwardedFor, forwarded, want string }{
		"direct":                            {"198.51.100.1:5", "", "", "198.51.100.1"},
		"a peer that is not trusted":        {"198.51.100.1:5", "203.0.113.1", "for=203.0.113.1", "198.51.100.1"},
		"one proxy":                         {"10.1.2.3:5", "203.0.113.1", "", "203.0.113.1"},
		"a chain of proxies":                {"10.1.2.3:5", "203.0.113.1, 10.4.4.4,10.5.5.5", "", "203.0.113.1"},
		"what the client itself put first":  {"10.1.2.3:5", "1.2.3.4, 203.0.113.1", "", "203.0.113.1"},
		"a whole chain that is trusted":     {"10.1.2.3:5", "10.9.9.9", "", "10.9.9.9"},
		"no header":                         {"10.1.2.3:5", "", "", "10.1.2.3"},
		"nonsense":                          {"10.1.2.3:5", "203.0.113.1, nonsense", "", "10.1.2.3"},
		"nonsense before the client":        {"10.1.2.3:5", "nonsense, 203.0.113.1", "", "203.0.113.1"},
		"an empty element":                  {"10.1.2.3:5", "203.0.113.1, ", "", "10.1.2.3"},
		"with a port":                       {"10.1.2.3:5", "203.0.113.1:4711", "", "203.0.113.1"},
		"IPv6":                              {"[2001:db8::1]:5", "2001:470::1", "", "2001:470::1"},
		"IPv6 with port":                    {"[2001:db8::1]:5", "[2001:470::1]:80", "", "2001:470::1"},
		"mapped":                            {"[::ffff:10.1.2.3]:5", "::ffff:203.0.113.1", "", "203.0.113.1"},
		"a single address":                  {"192.0.2.9:5", "203.0.113.1", "", "203.0.113.1"},
		"a mapped single address":           {"192.0.2.10:5", "203.0.113.1", "", "203.0.113.1"},
		"the standard's header":             {"10.1.2.3:5", "", `for=1.2.3.4, proto=http;For="203.0.113.1:99";by=10.1.1.1`, "203.0.113.1"},
		"the standard's header with IPv6":   {"10.1.2.3:5", "", `for="[2001:470::1]:4711"`, "2001:470::1"},
		"hidden":                            {"10.1.2.3:5", "", "for=_hidden", "10.1.2.3"},
		"both, the same":                    {"10.1.2.3:5", "203.0.113.1", "for=203.0.113.1;proto=https", "203.0.113.1"},
		"both, one of them passed through":  {"10.1.2.3:5", "203.0.113.1", "for=1.2.3.4", "10.1.2.3"},
		"both, of different length":         {"10.1.2.3:5", "1.2.3.4, 203.0.113.1", "for=203.0.113.1", "10.1.2.3"},
		"a peer that is no network address": {"@", "203.0.113.1", "", "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
		if tc.forwardedFor != "" {
			r.Header.Set("X-Forwarded-For", tc.forwardedFor)
		}
		if tc.forwarded != "" {
			r.Header.Set("Forwarded", tc.forwarded)
		}
		require.Equal(t, tc.want, proxies.clientAddress(r).String(), name)
	}
	r := &http.Request{RemoteAddr: "10.1.2.3:5", Header: http.Header{"X-Forwarded-For": {"203.0.113.1", "203.0.113.2"}}}
	require.Equal(t, "203.0.113.2", proxies.clientAddress(r).String(), "several lines are one list")
	require.Equal(t, "10.1.2.3", Proxies{}.clientAddress(r).String(), "by default no header is believed")
	for _, bad := range []string{"", "x", "10.0.0.0/33", "10.0.0.0/8/8", "fe80::1%eth0", "example.org"} {
		_, err := ParseProxies([]string{bad})
		require.Error(t, err, bad)
	}
}
