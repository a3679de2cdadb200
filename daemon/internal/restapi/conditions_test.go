package restapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/proto/rest"
)

// A condition that would not be evaluated is refused: a client that sends one relies on it.
func TestConditions_OfWritesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	f := r.put("x", []byte("old"))
	for _, condition := range [][2]string{{"If-None-Match", "*"}, {"If-Match", `"nope"`}, {"If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"}} {
		for _, try := range [][2]string{
			{"POST", "/files?name=x"}, {"DELETE", "/files/" + f.FileID}, {"POST", "/files/" + f.FileID + "/rename"}, {"DELETE", "/buckets/default"}, {"POST", "/sessions"},
		} {
			got := r.call(try[0], try[1], strings.NewReader("new"), "Content-Type", "text/plain", condition[0], condition[1])
			p := refused(t, got, http.StatusBadRequest, rest.CodeInvalid)
			require.Contains(t, p.Detail, condition[0])
		}
	}
	require.Equal(t, "old", string(r.call("GET", "/files/"+f.FileID, nil).body))
}
