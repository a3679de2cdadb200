package db

import (
	"encoding/hex"
	"strconv"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// IDs is the argument of statements that take many ids: a JSON array of them in hexadecimal.
func IDs[ID ~[16]byte](ids []ID) string {
	b := make([]byte, 0, len(ids)*(2*16+3)+2)
	b = append(b, '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = hex.AppendEncode(b, id[:])
		b = append(b, '"')
	}
	return string(append(b, ']'))
}

// Tasks is the argument of statements that take many reclaims: a JSON array of texts, each the part and the node in hexadecimal, and the index.
func Tasks(tasks []store.Task) string {
	b := append(make([]byte, 0, len(tasks)*70+2), '[')
	for i, t := range tasks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = hex.AppendEncode(b, t.Chunk.Part[:])
		b = hex.AppendEncode(b, t.Node[:])
		b = strconv.AppendUint(b, uint64(t.Chunk.Index), 10)
		b = append(b, '"')
	}
	return string(append(b, ']'))
}
