package mem_test

import (
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/store/metatest"
)

func TestMetadata(t *testing.T) {
	metatest.Run(t, func(testing.TB) metatest.Open {
		m := mem.NewMetadata()
		return func(testing.TB) store.Metadata { return m.Reopen() }
	})
}
