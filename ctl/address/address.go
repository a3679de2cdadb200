// Package address parses the arguments of commands: s3://bucket/key, a local path, or "-" for a standard stream. It also
// matches keys against wildcards, and converts keys to local paths that stay inside their folder.
//
// A key is a name, not a path: "..", "//" and a leading "/" have no meaning in it and are kept unchanged.
package address

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Scheme begins every remote address.
const Scheme = "s3://"

// MaxKeyBytes is the longest key, in bytes.
const MaxKeyBytes = 1024

// Remote is a bucket or an object in one.
type Remote struct {
	Bucket string
	Key    string // all bytes after "s3://bucket/", unchanged; "" means the bucket
}

// String returns the address in the form that Parse accepts.
func (r Remote) String() string {
	if r.Key == "" {
		return Scheme + r.Bucket
	}
	return Scheme + r.Bucket + "/" + r.Key
}

// IsRemote reports whether s is meant as a remote address, even if it is not a valid one.
func IsRemote(s string) bool {
	return len(s) >= 3 && strings.EqualFold(s[:3], "s3:")
}

// IsStream reports whether s means a standard stream. A file with that name is written "./-".
func IsStream(s string) bool { return s == "-" }

// Parse parses a remote address. Invalid.
func Parse(s string) (Remote, error) {
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok {
		return Remote{}, bad(s, "is not of the form s3://BUCKET/KEY")
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" {
		return Remote{}, bad(s, "has no bucket")
	}
	if err := CheckBucket(bucket); err != nil {
		return Remote{}, err
	}
	if err := CheckKey(key); key != "" && err != nil {
		return Remote{}, err
	}
	return Remote{Bucket: bucket, Key: key}, nil
}

func bad(s, why string) error {
	return fault.New(problem.Invalid, "address %q %s", s, why).
		WithHint("write s3://BUCKET/KEY; a local file with this name is written ./%s", s)
}

var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// CheckBucket checks that a bucket name is valid. The server checks more; this detects mistakes before
// anything is sent. Invalid.
func CheckBucket(name string) error {
	const rule = "a bucket name has 3 to 63 lower-case letters, digits, hyphens or dots, and begins and ends with a letter or digit"
	if !bucketForm.MatchString(name) || strings.Contains(name, "..") {
		return fault.New(problem.Invalid, "bucket name %q: %s", name, rule)
	}
	return nil
}

// CheckKey checks that a key is valid. Invalid.
func CheckKey(key string) error {
	why := ""
	switch {
	case key == "":
		why = "is empty"
	case len(key) > MaxKeyBytes:
		why = "has more than 1024 bytes"
	case !utf8.ValidString(key):
		why = "is not valid UTF-8"
	case strings.IndexByte(key, 0) >= 0:
		why = "contains a NUL byte"
	default:
		return nil
	}
	return fault.New(problem.Invalid, "name %q %s", key[:min(len(key), 64)], why)
}

// Folder returns the key as the prefix of everything "in" it: with a "/" at its end, or "" for the whole bucket.
func (r Remote) Folder() string {
	if r.Key == "" || strings.HasSuffix(r.Key, "/") {
		return r.Key
	}
	return r.Key + "/"
}

// Base is the part of a key after its last "/".
func Base(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// Parent is the part of a key up to and including its last "/", or "".
func Parent(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// Localize converts a key, or its rest after a prefix, to a relative local path that cannot leave the folder it is joined
// to. A key without such a path is Invalid: one with an empty, "." or ".." element, with a leading or trailing "/", with
// NUL, or with a name that the system reserves.
func Localize(name string) (string, error) {
	if name != "." {
		if path, err := filepath.Localize(name); err == nil {
			return path, nil
		}
	}
	why, elements := "cannot be a local file name", strings.Split(name, "/")
	switch {
	case name == "":
		why = "has no local file name"
	case strings.HasPrefix(name, "/"):
		why = `begins with "/" and cannot be a path inside a folder`
	case strings.HasSuffix(name, "/"):
		why = `ends in "/" and cannot be a local file`
	case strings.Contains(name, "//"):
		why = `has an empty element ("//") and cannot be a local path`
	case slices.Contains(elements, ".."):
		why = `has the element ".." and would leave the target folder`
	case slices.Contains(elements, "."):
		why = `has the element "." and cannot be a local path`
	}
	return "", fault.New(problem.Invalid, "name %q %s", name, why).
		WithHint("fetch this object alone under another name: s3ctl get --raw s3://BUCKET/KEY FILE")
}

// Resolve returns a local path in a form to which names can be joined: without a trailing slash, and with ".." only at its
// beginning. A ".." after a link is resolved as the system does, to the parent of the folder that the link leads to, and not by
// shortening the text. An error means that an element before a ".." does not exist or cannot be read.
func Resolve(path string) (string, error) {
	elements := strings.Split(filepath.ToSlash(path), "/")
	named, last := false, -1 // last: the last ".." after a name
	for i, e := range elements {
		if e == ".." && named {
			last = i
		}
		named = named || e != "" && e != "." && e != ".."
	}
	if last < 0 {
		return filepath.Clean(path), nil
	}
	above := strings.Join(elements[:last+1], "/")
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(above, "/") {
		above = "/" + above
	}
	folder, err := filepath.EvalSymlinks(filepath.FromSlash(above))
	if err != nil {
		return "", fault.Wrap(path, err)
	}
	return filepath.Join(folder, filepath.FromSlash(strings.Join(elements[last+1:], "/"))), nil
}
