package restapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// Sessions and tus uploads count together, and against the access key that created them.
func TestOpenSessions_AreLimitedPerKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{engine: func(c *engine.Config) { c.SessionLimits = store.SessionLimits{PerOwner: 2} }})
	_, first := r.begin(rest.NewSession{Name: "a"})
	r.tusCreate(10)
	page, err := r.meta.ListSessions(t.Context(), store.SessionQuery{Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Sessions, 2)
	for _, s := range page.Sessions {
		require.Equal(t, r.pair.AccessKey, s.Owner)
	}
	for name, got := range map[string]reply{
		"session": r.document("POST", "/sessions", rest.NewSession{Name: "b"}),
		"tus":     r.tus("POST", "/tus", nil, "Upload-Length", "10"),
	} {
		p := decode[rest.Problem](t, got, http.StatusServiceUnavailable)
		require.Equal(t, "open_sessions", p.Limit, name)
		require.Equal(t, "10", got.header.Get("Retry-After"), name)
	}
	require.Equal(t, http.StatusNoContent, r.call("DELETE", first, nil).status)
	r.begin(rest.NewSession{Name: "b"})
}
