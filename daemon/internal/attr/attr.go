// Package attr has what a bucket, a file or a part carries for S3 clients beside data and user metadata: configurations, checksums, tags, an owner,
// and how it is encrypted. The metadata stores keep these values as they are; only the surfaces know what they mean.
package attr

import (
	"bytes"
	"fmt"
	"maps"
	"unicode/utf8"
)

// Bounds of attributes. Those of tags are S3's, in characters.
const (
	MaxTags            = 10
	MaxTagName         = 128
	MaxTagValue        = 256
	MaxEncryptionBytes = 4096 // algorithm, id and sealed key together
)

// Set is the attributes of a file. They are set by the commit and stay with the file. Most files have none: for the zero Set nothing
// is stored.
type Set struct {
	Checksums  Checksums         // of the whole file, those that the client asked for beside File.CRC64 and File.SHA256
	Tags       map[string]string // at most MaxTags
	Owner      string            // access key of the owner, where that is not who committed the file
	Encryption Encryption        // zero: the data is not encrypted for the client
}

// Encryption says how the data of a file is encrypted. The store keeps it, and never has the key in clear.
type Encryption struct {
	Algorithm string // as the surface that encrypts names it
	KeyID     string // of the key that seals Key; may be empty
	Key       []byte // the data key, sealed
}

// IsZero reports whether there are no attributes.
func (a Set) IsZero() bool {
	return len(a.Checksums) == 0 && len(a.Tags) == 0 && a.Owner == "" && a.Encryption.isZero()
}

func (e Encryption) isZero() bool { return e.Algorithm == "" && e.KeyID == "" && len(e.Key) == 0 }

// Clone returns a copy that shares nothing with a.
func (a Set) Clone() Set {
	a.Checksums, a.Tags, a.Encryption.Key = a.Checksums.Clone(), maps.Clone(a.Tags), bytes.Clone(a.Encryption.Key)
	return a
}

// Validate reports the first attribute that is not valid.
func (a Set) Validate() error {
	if len(a.Tags) > MaxTags {
		return fmt.Errorf("%d tags are more than %d", len(a.Tags), MaxTags)
	}
	for name, value := range a.Tags {
		if name == "" || !utf8.ValidString(name+value) || utf8.RuneCountInString(name) > MaxTagName || utf8.RuneCountInString(value) > MaxTagValue {
			return fmt.Errorf("the tag %q needs a name of 1 to %d characters and a value of at most %d", fmt.Sprintf("%.32s", name), MaxTagName, MaxTagValue)
		}
	}
	if e := a.Encryption; !e.isZero() && e.Algorithm == "" || len(e.Algorithm)+len(e.KeyID)+len(e.Key) > MaxEncryptionBytes {
		return fmt.Errorf("encryption needs an algorithm, and takes at most %d bytes", MaxEncryptionBytes)
	}
	return a.Checksums.Validate()
}
