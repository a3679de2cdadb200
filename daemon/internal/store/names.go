package store

import (
	"strings"
	"time"
	"unicode/utf8"
)

// BucketName names a bucket: 3 to 63 characters, lower-case letters, digits,
// hyphens and dots, as S3 has it.
type BucketName string

// Key names an object in a bucket: 1 to 1024 bytes of valid UTF-8 without NUL.
// Keys sort as bytes. They are not paths: "..", "//" and a leading "/" have no special meaning.
type Key string

// MaxKeyBytes is the longest Key.
const MaxKeyBytes = 1024

// DefaultBucket exists from the first start.
const DefaultBucket BucketName = "default"

func (b BucketName) String() string { return string(b) }
func (k Key) String() string        { return string(k) }

// Validate reports the first rule that the name breaks, as Invalid.
func (b BucketName) Validate() error {
	const rule = "a bucket name has 3 to 63 lower-case letters, digits, hyphens or dots, and begins and ends with a letter or digit"
	if len(b) < 3 || len(b) > 63 {
		return badName("bucket name", string(b), rule)
	}
	for i, c := range []byte(b) {
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		inner := i > 0 && i < len(b)-1
		if !alnum && (!inner || c != '-' && c != '.') {
			return badName("bucket name", string(b), rule)
		}
	}
	if strings.Contains(string(b), "..") {
		return badName("bucket name", string(b), "a bucket name has no two dots in a row")
	}
	return nil
}

// Validate reports the first rule that the key breaks, as Invalid.
func (k Key) Validate() error {
	switch {
	case k == "":
		return badName("name", "", "a name has at least one byte")
	case len(k) > MaxKeyBytes:
		return badName("name", string(k), "a name has at most 1024 bytes")
	case !utf8.ValidString(string(k)):
		return badName("name", strings.ToValidUTF8(string(k), "�"), "a name is valid UTF-8")
	case strings.IndexByte(string(k), 0) >= 0:
		return badName("name", string(k), "a name has no NUL byte")
	}
	return nil
}

func badName(what, value, rule string) error {
	return Errorf(Invalid, "%s %q: %s", what, clip(value, 64), rule).WithHint("Choose another %s.", what)
}

// SurviveDefault in Bucket.Survive means the cluster's setting.
const SurviveDefault = -1

// MaxSurvive is the highest number of node failures that can be asked for.
const MaxSurvive = 3

// Bucket is a namespace for keys with the policies of its data.
type Bucket struct {
	Name      BucketName
	CreatedAt time.Time // microseconds, UTC, by the clock of the metadata store
	Survive   int       // node failures that new data must survive: 0..MaxSurvive or SurviveDefault
}
