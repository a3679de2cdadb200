package restapi_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/proto/rest"
)

// A condition on a route that does not evaluate it is refused: a client that sends one relies on it.
func TestConditions_RefusedWhereTheyAreNotEvaluated(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", []byte("old"))
	for _, condition := range [][2]string{{"If-None-Match", "*"}, {"If-Match", `"nope"`}, {"If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"}} {
		for _, try := range [][2]string{{"DELETE", "/buckets/default"}, {"POST", "/sessions"}, {"PATCH", "/buckets/default"}} {
			got := r.call(try[0], try[1], strings.NewReader("new"), "Content-Type", "text/plain", condition[0], condition[1])
			p := refused(t, got, http.StatusBadRequest, rest.CodeInvalid)
			require.Contains(t, p.Detail, condition[0])
		}
	}
	for _, condition := range [][2]string{
		{"If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"}, {"If-Match", "unquoted"}, {"If-None-Match", `"a", b`}, {"If-Match", `"open`}, {"If-Match", "*x"},
	} {
		got := r.call("POST", "/files?name=x", strings.NewReader("new"), "Content-Type", "text/plain", condition[0], condition[1])
		p := refused(t, got, http.StatusBadRequest, rest.CodeInvalid)
		require.Contains(t, p.Detail, condition[0])
	}
	require.Equal(t, "old", string(r.call("GET", "/files/"+f.FileID, nil).body))
}

// Each change of an object happens under its condition or not at all.
func TestConditions_OfChanges(t *testing.T) {
	t.Parallel()
	const absent, present = "target-absent", "target-present"
	for name, change := range map[string]struct {
		send   func(r *rig, target, header, value string) reply
		status int
	}{
		"upload": {func(r *rig, target, header, value string) reply {
			return r.call("POST", "/files?name="+target, strings.NewReader("new"), "Content-Type", "text/plain", header, value)
		}, http.StatusCreated},
		"copy": {func(r *rig, target, header, value string) reply {
			return r.call("POST", "/files/"+r.put("source", []byte("new")).FileID+"/copy", strings.NewReader(`{"name":"`+target+`"}`), "Content-Type", "application/json", header, value)
		}, http.StatusCreated},
		"rename": {func(r *rig, target, header, value string) reply {
			return r.call("POST", "/files/"+r.put("source", []byte("new")).FileID+"/rename", strings.NewReader(`{"name":"`+target+`"}`), "Content-Type", "application/json", header, value)
		}, http.StatusOK},
		"session": {func(r *rig, target, header, value string) reply {
			s := decode[rest.Session](r.t, r.call("POST", "/sessions", strings.NewReader(`{"name":"`+target+`"}`), "Content-Type", "application/json"), http.StatusCreated)
			path := "/sessions/" + s.SessionID
			require.Equal(r.t, http.StatusOK, r.call("PUT", path+"/parts/1", strings.NewReader("new")).status)
			return r.call("POST", path+"/complete", nil, header, value)
		}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				target, header, value string
				holds                 bool
			}{
				{absent, "If-None-Match", "*", true},
				{present, "If-None-Match", "*", false},
				{absent, "If-Match", "*", false},
				{present, "If-Match", "*", true},
				{present, "If-Match", `"other", ETAG`, true},
				{present, "If-Match", `"other"`, false},
				{present, "If-Match", `W/ETAG`, false},
				{absent, "If-Match", `"other"`, false},
				{present, "If-None-Match", `W/ETAG`, false},
				{present, "If-None-Match", `"other"`, true},
				{absent, "If-None-Match", `"other"`, true},
			} {
				r := newRig(t, setup{})
				old := r.put(present, []byte("old"))
				got := change.send(r, c.target, c.header, strings.ReplaceAll(c.value, "ETAG", `"`+old.ETag+`"`))
				content := r.call("GET", "/files/by-name?name="+c.target, nil)
				if c.holds {
					require.Equal(t, change.status, got.status, "%v: %s", c, got.body)
					require.Equal(t, "new", string(content.body))
					continue
				}
				refused(t, got, http.StatusPreconditionFailed, rest.CodePreconditionFailed)
				if c.target == absent {
					require.Equal(t, http.StatusNotFound, content.status)
				} else {
					require.Equal(t, "old", string(content.body))
				}
			}
		})
	}
}

func TestConditions_OfDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", []byte("old"))
	path := "/files/" + f.FileID
	refused(t, r.call("DELETE", path, nil, "If-Match", `"other"`), http.StatusPreconditionFailed, rest.CodePreconditionFailed)
	refused(t, r.call("DELETE", path, nil, "If-None-Match", "*"), http.StatusPreconditionFailed, rest.CodePreconditionFailed)
	require.Equal(t, http.StatusOK, r.call("GET", path, nil).status)
	require.Equal(t, http.StatusNoContent, r.call("DELETE", path, nil, "If-Match", `"`+f.ETag+`"`).status)
	require.Equal(t, http.StatusNotFound, r.call("GET", path, nil).status)
}

// Of many uploads at once that only one state allows, one happens.
func TestConditions_OneOfManyWins(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, condition := range []func() [2]string{
		func() [2]string { return [2]string{"If-None-Match", "*"} },
		func() [2]string {
			return [2]string{"If-Match", r.call("HEAD", "/files/by-name?name=x", nil).header.Get("ETag")}
		},
	} {
		header := condition()
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				got, err := r.try(r.request("POST", "/files?name=x", strings.NewReader("x"), "Content-Type", "text/plain", header[0], header[1]))
				if err != nil {
					t.Error(err)
				}
				switch got.status {
				case http.StatusCreated:
					won.Add(1)
				case http.StatusPreconditionFailed:
					lost.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, won.Load(), header)
		require.EqualValues(t, 15, lost.Load(), header)
	}
}
