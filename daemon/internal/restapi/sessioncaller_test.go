package restapi_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Each request that changes a session, over either surface, is recorded as a change by its access key.
func TestSessionChanges_KnowTheirCaller(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	changedBy := func(id store.FileID) string {
		s, err := r.meta.Session(t.Context(), id)
		require.NoError(t, err)
		return s.ChangedBy
	}
	for name, change := range map[string]func(id string) reply{
		"part":        func(id string) reply { return r.part("/sessions/"+id, 1, []byte("ab")) },
		"tus: length": func(id string) reply { return r.tusPatch("/tus/"+id, 0, nil, "Upload-Length", "5") },
		"tus: append": func(id string) reply { return r.tusPatch("/tus/"+id, 0, strings.NewReader("ab")) },
	} {
		s := r.sessionOfAnother()
		require.Equal(t, "another", changedBy(s.ID), name)
		require.Less(t, change(s.ID.String()).status, 300, name)
		require.Equal(t, r.pair.AccessKey, changedBy(s.ID), name)
	}
}

// So is the one that ends it: the caller is that of the file which the session becomes, or leaves.
func TestSessionEnds_KnowTheirCaller(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for name, end := range map[string]func(id string) reply{
		"abort":         func(id string) reply { return r.call("DELETE", "/sessions/"+id, nil) },
		"complete":      func(id string) reply { return r.call("POST", "/sessions/"+id+"/complete", nil) },
		"tus: abort":    func(id string) reply { return r.tus("DELETE", "/tus/"+id, nil) },
		"tus: complete": func(id string) reply { return r.tusPatch("/tus/"+id, 0, nil, "Upload-Length", "0") },
	} {
		s := r.sessionOfAnother()
		require.Less(t, end(s.ID.String()).status, 300, name)
		f, err := r.meta.File(t.Context(), s.ID)
		require.NoError(t, err, name)
		require.Equal(t, r.pair.AccessKey, f.ChangedBy, name)
	}
}

// sessionOfAnother creates a session without a size, by a client other than that of the requests.
func (r *rig) sessionOfAnother() store.Session {
	r.t.Helper()
	s, err := r.engine.CreateSession(r.t.Context(), engine.SessionRequest{Bucket: store.DefaultBucket, Key: "a", Size: -1, Caller: "another"})
	require.NoError(r.t, err)
	return s
}
