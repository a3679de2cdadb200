package pack

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// ParseStrings decodes a column that has a JSON object of strings; nothing is no object. Malformed text is Internal.
func ParseStrings(column []byte) (m map[string]string, err error) {
	if len(column) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(column, &m); err != nil {
		return nil, store.Errorf(store.Internal, "a column is not an object of strings: %w", err)
	}
	return m, nil
}

// Loops encodes the loops of a report as a JSON array.
func Loops(loops []store.LoopProgress) (column string, err error) {
	text, err := json.Marshal(loops)
	if err != nil {
		return "", store.Errorf(store.Invalid, "the report of the loops: %w", err)
	}
	return string(text), nil
}

// ParseLoops decodes what Loops wrote, by name. Malformed text is Internal.
func ParseLoops(column []byte) (loops []store.LoopProgress, err error) {
	if err := json.Unmarshal(column, &loops); err != nil {
		return nil, store.Errorf(store.Internal, "the report of the loops is malformed: %w", err)
	}
	slices.SortFunc(loops, func(a, b store.LoopProgress) int { return cmp.Compare(a.Name, b.Name) })
	return loops, nil
}
