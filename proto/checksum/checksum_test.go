package checksum_test

import (
	"testing"

	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/proto/checksum"
)

// The oracle of Combine is the checksum of the bytes themselves.
func TestCombineIsTheChecksumOfTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var whole []byte
		var crc uint64
		for _, piece := range rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "pieces") {
			whole = append(whole, piece...)
			crc = checksum.Combine(crc, crc64nvme.Checksum(piece), int64(len(piece)))
		}
		require.Equal(t, crc64nvme.Checksum(whole), crc)
	})
}

func TestCombineOverLongRuns(t *testing.T) {
	t.Parallel()
	// Appending 2n zero bytes is appending n twice, at any length that a file can have.
	for n := int64(1); n <= 5<<40; n *= 3 {
		once := checksum.Combine(checksum.Combine(0x0123456789abcdef, 0, n), 0, n)
		require.Equal(t, checksum.Combine(0x0123456789abcdef, 0, 2*n), once, n)
	}
	zeros := make([]byte, 3<<20)
	head := []byte("head")
	require.Equal(t, crc64nvme.Checksum(append(head, zeros...)),
		checksum.Combine(crc64nvme.Checksum(head), crc64nvme.Checksum(zeros), int64(len(zeros))))
}

func TestEncodeAndDecode(t *testing.T) {
	t.Parallel()
	// The check value of CRC-64/NVME, and how S3 writes it.
	require.Equal(t, "rosUhgp5mIg=", checksum.Encode(crc64nvme.Checksum([]byte("123456789"))))
	crc, err := checksum.Decode("rosUhgp5mIg=")
	require.NoError(t, err)
	require.Equal(t, uint64(0xae8b14860a799888), crc)
	for _, bad := range []string{"", "x", "rosUhgp5mIg", "AAAAAAAAAAAA", "====", "rosUhgp5mIg=\n="} {
		_, err := checksum.Decode(bad)
		require.Error(t, err, bad)
	}
}

func BenchmarkCombine(b *testing.B) {
	crc := uint64(1)
	for b.Loop() {
		crc = checksum.Combine(crc, 2, 64<<20)
	}
}
