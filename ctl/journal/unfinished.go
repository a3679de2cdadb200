package journal

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxHead bounds the first line of a log, in bytes; a key and an address are far shorter.
const maxHead = 64 << 10

// Unfinished reports whether a file in a folder belongs to an unfinished download: a log, or the partial file of that
// log. The name alone is not enough: a file with such a name but without a log beside it is an ordinary one.
func Unfinished(dir, name string) bool {
	base, isLog := strings.CutSuffix(name, ".log")
	if !strings.HasPrefix(base, ".") || !strings.HasSuffix(base, ".part") {
		return false
	}
	if !isLog {
		// The log of a partial file must be a regular file.
		name += ".log"
	}
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxHead)).ReadBytes('\n')
	var h Head
	return err == nil && json.Unmarshal(line, &h) == nil && h.Format == Download
}
