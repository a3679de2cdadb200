package restapi

import (
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// disposition returns a Content-Disposition that makes a browser save the file under
// the last segment of its name, or under its id where that segment is empty.
//
// The name is given twice, as RFC 6266 advises: in ASCII for old clients, with
// every character that could end the value or the header replaced, and in the form of
// RFC 8187, with every byte outside a small set percent-encoded.
func disposition(f store.File) string {
	name := f.Key.String()
	name = name[strings.LastIndexByte(name, '/')+1:]
	if name == "" {
		name = f.ID.String()
	}
	var b strings.Builder
	b.Grow(len(`attachment; filename=""; filename*=UTF-8''`) + 2*len(name))
	b.WriteString(`attachment; filename="`)
	plain := true
	for _, r := range name {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' || r == '%' {
			r, plain = '_', false
		}
		b.WriteByte(byte(r))
	}
	b.WriteByte('"')
	if plain {
		return b.String()
	}
	b.WriteString(`; filename*=UTF-8''`)
	const digits = "0123456789ABCDEF"
	for i := range len(name) {
		if c := name[i]; attrChar(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// attrChar is the set of RFC 8187, section 3.2.1.
func attrChar(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("!#$&+-.^_`|~", c) >= 0
}
