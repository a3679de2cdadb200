package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes. As text it is a number with an optional unit:
// 10GiB and 10G are binary (1024), 10GB is decimal (1000), 512 is bytes.
type Size int64

var binaryUnits = [...]string{"", "KiB", "MiB", "GiB", "TiB", "PiB"}

// String returns the shortest text that parses to the same size.
func (s Size) String() string {
	n, unit := int64(s), 0
	for n != 0 && n%1024 == 0 && unit < len(binaryUnits)-1 {
		n /= 1024
		unit++
	}
	return strconv.FormatInt(n, 10) + binaryUnits[unit]
}

// MarshalText returns the text of String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses a size. Negative sizes and those over 8 EiB are errors.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	if last := len(text) - 1; last >= 0 && strings.ContainsRune("KMGTPkmgtp", rune(text[last])) {
		text += "iB" // a lone letter is binary, as with dd and fallocate
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is not a size: write a number with a unit, such as 512, 64MiB or 10GB", string(b))
	}
	*s = Size(n)
	return nil
}
