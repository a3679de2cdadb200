// Package attr has what a bucket, a file or a part carries for S3 clients beside data and user metadata: configurations, checksums, tags, an owner,
// how it is encrypted, and a lock. The metadata stores keep these values as they are, and only the surfaces know what they mean; but of a lock
// the stores know when it ends.
package attr

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Bounds of attributes. Those of tags are S3's, in characters.
const (
	MaxTags            = 10
	MaxTagName         = 128
	MaxTagValue        = 256
	MaxEncryptionBytes = 4096 // algorithm, id and sealed key together
)

// Set is the attributes of a file. They are set by the commit, and replaced by store.Attributes. Most files have none: for the zero Set nothing
// is stored.
type Set struct {
	Checksums  Checksums         // of the whole file, those that the client asked for beside File.CRC64 and File.SHA256
	Tags       map[string]string // at most MaxTags
	Owner      string            // access key of the owner, where that is not who committed the file
	Encryption Encryption        // zero: the data is not encrypted for the client
	Lock       Lock              // zero: the file may be deleted and replaced
}

// Encryption says how the data of a file is encrypted. The store keeps it, and never has the key in clear.
type Encryption struct {
	Algorithm string // as the surface that encrypts names it
	KeyID     string // of the key that seals Key; may be empty
	Key       []byte // the data key, sealed
}

// IsZero reports whether there are no attributes.
func (a Set) IsZero() bool {
	return len(a.Checksums) == 0 && len(a.Tags) == 0 && a.Owner == "" && a.Encryption.isZero() && a.Lock.IsZero()
}

func (e Encryption) isZero() bool { return e.Algorithm == "" && e.KeyID == "" && len(e.Key) == 0 }

// Equal reports whether both have the same attributes.
func (a Set) Equal(b Set) bool {
	return slices.EqualFunc(a.Checksums, b.Checksums, Checksum.equal) && maps.Equal(a.Tags, b.Tags) && a.Owner == b.Owner &&
		a.Encryption.equal(b.Encryption) && a.Lock.Mode == b.Lock.Mode && a.Lock.Until.Equal(b.Lock.Until) && a.Lock.Hold == b.Lock.Hold
}

func (e Encryption) equal(o Encryption) bool {
	return e.Algorithm == o.Algorithm && e.KeyID == o.KeyID && bytes.Equal(e.Key, o.Key)
}

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
	return errors.Join(a.Lock.Validate(), a.Checksums.Validate())
}
