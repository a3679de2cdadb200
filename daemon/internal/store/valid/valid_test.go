package valid

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	short := attr.Checksums{{Algorithm: attr.ChecksumCRC32, Value: []byte{1}}}
	for name, c := range map[string]struct {
		err error
		ok  bool
	}{
		"sweep":          {Sweep(0, 1), true},
		"sweep grace":    {Sweep(-1, 1), false},
		"sweep limit":    {Sweep(0, 0), false},
		"ttl":            {TTL(time.Second), true},
		"ttl none":       {TTL(0), false},
		"size":           {Size(0), true},
		"size negative":  {Size(-1), false},
		"width":          {Width(1, store.MaxChunksPerPart-1), true},
		"width too many": {Width(1, store.MaxChunksPerPart), false},
		"width negative": {Width(2, -1), false},
		"file":           {File(store.File{Parts: []store.Part{{}}}), true},
		"file attribute": {File(store.File{Attributes: attr.Set{Checksums: short}}), false},
		"file part":      {File(store.File{Parts: []store.Part{{}, {Checksums: short}}}), false},
		"checksums":      {Checksums(store.Part{Checksums: short}), false},
	} {
		if c.ok {
			require.NoError(t, c.err, name)
		} else {
			require.ErrorIs(t, c.err, store.Invalid, name)
		}
	}
}
