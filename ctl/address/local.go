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

func hasElement(name, element string) bool {
	for e := range strings.SplitSeq(name, "/") {
		if e == element {
			return true
		}
	}
	return false
}
