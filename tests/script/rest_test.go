package script_test

import (
	"testing"

	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/profile"
)

// A real gateway passes the suite that the in-memory one of s3ctl's tests passes, so that those tests can rely on it.
func TestGateway_PassesTheRESTSuite(t *testing.T) {
	t.Parallel()
	resttest.Suite(t, profile.Profile{Endpoint: server.URL, AccessKey: server.AccessKey, Secret: server.SecretKey}, "rest")
}
