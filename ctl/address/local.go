package address

import (
	"path/filepath"
	"strings"

	"github.com/ringstore/ringstore/ctl/fault"
)

// Localize turns a key (or what is left of it after a prefix) into a relative
// local path that cannot leave the folder it is joined to. A key that cannot
// be such a path is "invalid": one with an empty, "." or ".." element, with a
// "/" at an end, with NUL, or with a name that the system reserves.
func Localize(name string) (string, error) {
	if name != "." {
		if path, err := filepath.Localize(name); err == nil {
			return path, nil
		}
	}
	why := "cannot be a local file name"
	switch {
	case name == "":
		why = "leaves no local file name"
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
	return "", fault.New("invalid", "name %q %s", name, why).
		WithHint("fetch it alone under another name: s3ctl get --raw s3://BUCKET/KEY FILE")
}

// Resolve gives a local path in a form to which names can be joined: without a slash at its end, and with a ".." only at its
// beginning. The path leads where the system follows it to: ".." behind a link is the folder above the one that the link leads to, and
// not what is left when the text is shortened. The error is the system's, where a part that a ".." follows is not there.
func Resolve(path string) (string, error) {
	elements := strings.Split(filepath.ToSlash(path), "/")
	named, last := false, -1 // last: the last ".." behind a name
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
