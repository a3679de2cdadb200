package db

import (
	"encoding/json"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Document is the stored form of names and values: a JSON object, or null where there is no value.
func Document(meta map[string]string) (any, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(meta)
	if err != nil {
		return nil, store.Errorf(store.Invalid, "metadata of the file: %w", err)
	}
	return string(b), nil
}
