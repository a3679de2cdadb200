//go:build !race

package metatest

import "github.com/ringstore/ringstore/daemon/internal/store"

// manyParts is how many parts the tests of very many parts use: as many as a file may have.
const manyParts = store.MaxParts
