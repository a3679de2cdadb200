package resttest_test

import (
	"testing"

	"github.com/ringstore/ringstore/ctl/resttest"
)

func TestServer_PassesTheSuite(t *testing.T) {
	t.Parallel()
	resttest.Suite(t, resttest.New(t).Profile(), "suite")
}
