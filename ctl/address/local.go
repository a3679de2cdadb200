package address

import (
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
)

// Localize converts a key, or its rest after a prefix, to a relative local path that cannot leave the folder it is joined
// to. A key without such a path is Invalid: one with an empty, "." or ".." element, with a leading or trailing "/", with
// NUL, or with a name that the system reserves.
func Localize(name string) (string, error) {
	if name != "." {
		if path, err := filepath.Localize(name); err == nil {
			return path, nil
		}
	}
	why := "cannot be a local file name"
	switch {
	case name == "":
		why = "has no local file name"
	case strings.HasPrefix(name, "/"):
		why = `begins with "/" and cannot be a path inside a folder`
	case strings.HasSuffix(name, "/"):
		why = `ends in "/" and cannot be a local file`
	case strings.Contains(name, "//"):
		why = `has an empty element ("//") and cannot be a local path`
	case hasElement(name, ".."):
		why = `has the element ".." and would leave the target folder`
	case hasElement(name, "."):
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

func hasElement(name, element string) bool {
	for e := range strings.SplitSeq(name, "/") {
		if e == element {
			return true
		}
	}
	return false
}
