// Package checksum holds what both ends of the API share about CRC64NVME, the checksum
// of every file: its encoding, and how that of a whole is combined from those of its
// parts. github.com/minio/crc64nvme computes it over bytes.
package checksum

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// Encode returns a CRC64NVME in the API's form: standard base64 of its eight bytes, big-endian.
func Encode(crc uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc))
}

// Decode parses the form of Encode; anything else is an error.
func Decode(text string) (uint64, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != 8 {
		return 0, fmt.Errorf("checksum %.32q is not base64 of 8 bytes", text)
	}
	return binary.BigEndian.Uint64(b), nil
}

// Combine returns the CRC64NVME of the concatenation of two byte sequences, from the
// CRCs of both and the length of the second, which must not be negative. Its cost grows
// with the logarithm of that length.
//
// To append n zero bytes is to multiply by x^8n modulo the polynomial, and the
// CRC of the second run is added to that: the initial and the final inversion cancel out.
// The method is that of Mark Adler's crc32_combine in zlib, for 64 bits.
func Combine(first, second uint64, secondBytes int64) uint64 {
	return multiply(power(secondBytes), first) ^ second
}

// polynomial of CRC64NVME, the lowest power of x in the highest bit, as in the
// register of a reflected CRC (NVM Express, NVM Command Set specification, section 5.2.1.3.4).
const polynomial = 0x9a6c9329ac4bc9b5

const (
	one = 1 << 63 // x^0
	x   = 1 << 62 // x^1
)

// squares[i] is x^(2^i) modulo the polynomial.
var squares = func() (s [64]uint64) {
	s[0] = x
	for i := 1; i < len(s); i++ {
		s[i] = multiply(s[i-1], s[i-1])
	}
	return s
}()

// power returns x^(8n) modulo the polynomial. n has at most 60 bits: a file has fewer bytes.
func power(n int64) uint64 {
	p := uint64(one)
	for i := 3; n != 0; i++ { // from x^(2^3), which is one byte
		if n&1 != 0 {
			p = multiply(squares[i], p)
		}
		n >>= 1
	}
	return p
}

// multiply returns a*b modulo the polynomial.
func multiply(a, b uint64) (product uint64) {
	for m := uint64(one); m != 0; m >>= 1 {
		if a&m != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= polynomial
		}
	}
	return product
}
