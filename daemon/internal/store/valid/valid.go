// Package valid checks arguments of the metadata stores, in the same way for all of them. Its errors are Invalid.
package valid

import (
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Sweep reports a grace or a limit of SweepDeleted out of bounds, as Invalid.
func Sweep(grace time.Duration, limit int) error {
	if grace < 0 {
		return store.Errorf(store.Invalid, "grace %s is negative", grace)
	}
	return store.ObjectQuery{Limit: limit}.Validate()
}

// Width reports a number of chunks that no part can have, as Invalid.
func Width(k, m int) error {
	if m < 0 || k+m > store.MaxChunksPerPart {
		return store.Errorf(store.Invalid, "a part of %d data chunks cannot have %d more; all together are at most %d", k, m, store.MaxChunksPerPart)
	}
	return nil
}

// TTL reports a time to live of a lease or a session that is not positive, as Invalid.
func TTL(ttl time.Duration) error {
	if ttl <= 0 {
		return store.Errorf(store.Invalid, "time to live must be positive, not %s", ttl)
	}
	return nil
}

// Size reports a negative number of bytes, as Invalid.
func Size(n int64) error {
	if n < 0 {
		return store.Errorf(store.Invalid, "size %d is negative", n)
	}
	return nil
}

// File reports the first attribute of the file, or checksum of its parts, that is not valid, as Invalid.
func File(f store.File) error {
	if err := store.ValidAttributes(f.Attributes); err != nil {
		return err
	}
	return Checksums(f.Parts...)
}

// Checksums reports the first checksum of the parts that is not valid, as Invalid.
func Checksums(parts ...store.Part) error {
	for _, p := range parts {
		if err := p.Checksums.Validate(); err != nil {
			return store.Errorf(store.Invalid, "%w", err)
		}
	}
	return nil
}
