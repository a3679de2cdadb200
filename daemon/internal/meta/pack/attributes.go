package pack

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The fields of attributes. A field is its type, the length of its value as an unsigned varint, and the value.
const (
	fieldChecksums  = 1 // as Checksums encodes them
	fieldTag        = 2 // the length of its name, its name, its value; there is one for each tag, by name
	fieldOwner      = 3
	fieldEncryption = 4 // length and bytes of the algorithm and of the id of the key, then the sealed key
	fieldRetention  = 5 // the mode, a byte, and the end in microseconds since 1970, as an unsigned varint
	fieldHold       = 6 // empty: there is a legal hold
)

// Attributes encodes the attributes of a file as fields, in the order of their types. No attributes are nil.
func Attributes(a attr.Set) []byte {
	if a.IsZero() {
		return nil
	}
	var b []byte
	field := func(kind byte, value []byte) {
		b = append(binary.AppendUvarint(append(b, kind), uint64(len(value))), value...)
	}
	if sums := Checksums(a.Checksums); sums != nil {
		field(fieldChecksums, sums)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Tags)) {
		field(fieldTag, append(appendString(nil, name), a.Tags[name]...))
	}
	if a.Owner != "" {
		field(fieldOwner, []byte(a.Owner))
	}
	if e := a.Encryption; e.Algorithm != "" {
		field(fieldEncryption, append(appendString(appendString(nil, e.Algorithm), e.KeyID), e.Key...))
	}
	if l := a.Lock; l.Mode != 0 {
		field(fieldRetention, binary.AppendUvarint([]byte{byte(l.Mode)}, uint64(l.Until.UnixMicro())))
	}
	if a.Lock.Hold {
		field(fieldHold, nil)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// ReadAttributes decodes what Attributes encoded. Internal where it did not.
func ReadAttributes(b []byte) (a attr.Set, err error) {
	if len(b) == 0 {
		return a, nil
	}
	for len(b) > 0 {
		value, rest, ok := cutString(b[1:])
		if !ok || !readField(&a, b[0], value) {
			return attr.Set{}, errAttributes()
		}
		b = rest
	}
	if a.Validate() != nil {
		return attr.Set{}, errAttributes()
	}
	return a, nil
}

func errAttributes() error {
	return store.Errorf(store.Internal, "the attributes of a file are malformed")
}

// readField decodes one field into a; false where it is not valid.
func readField(a *attr.Set, kind byte, value []byte) (ok bool) {
	switch kind {
	case fieldChecksums:
		var err error
		a.Checksums, err = ReadChecksums(value)
		return err == nil
	case fieldTag:
		name, rest, ok := cutString(value)
		if a.Tags == nil {
			a.Tags = map[string]string{}
		}
		a.Tags[string(name)] = string(rest)
		return ok
	case fieldOwner:
		a.Owner = string(value)
		return true
	case fieldEncryption:
		algorithm, rest, ok := cutString(value)
		if !ok {
			return false
		}
		id, key, ok := cutString(rest)
		a.Encryption = attr.Encryption{Algorithm: string(algorithm), KeyID: string(id)}
		if len(key) > 0 {
			a.Encryption.Key = bytes.Clone(key)
		}
		return ok
	case fieldRetention:
		return readRetention(&a.Lock, value)
	case fieldHold:
		a.Lock.Hold = true
		return len(value) == 0
	}
	return false
}

func readRetention(l *attr.Lock, value []byte) (ok bool) {
	if len(value) == 0 {
		return false
	}
	micros, n := binary.Uvarint(value[1:])
	if n <= 0 || n != len(value)-1 || micros > uint64(attr.Forever.UnixMicro()) {
		return false
	}
	l.Mode, l.Until = attr.LockMode(value[0]), time.UnixMicro(int64(micros)).UTC()
	return l.Mode != 0
}

// cutString returns the bytes whose length stands in front of them, and what follows them.
func cutString(b []byte) (s, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	return b[size : size+int(n)], b[size+int(n):], true
}
