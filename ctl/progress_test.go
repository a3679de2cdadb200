package ctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
)

// --progress=json writes to standard error in the documented format, whatever the format of the results.
func TestProgress_AsJSON(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "docs", "json-output.md"))
	require.NoError(t, err)
	r := newRig(t)
	fill(r)
	for _, args := range [][]string{
		{"put", "--progress=json", "-r", "DIR/photos", "s3://empty"},
		{"put", "--progress", "json", "--json", "-q", "DIR/a.txt", "s3://empty"},
		{"get", "--progress=json", "-r", "s3://default/logs", "DIR/out"},
	} {
		o := r.run(args...)
		require.Zero(t, o.code, o.err)
		require.NotContains(t, o.out, "progress")
		requireSchema(t, args, outcome{err: o.err})
		lines := strings.Split(strings.TrimSpace(o.err), "\n")
		var last map[string]any
		for _, line := range lines {
			last = nil
			require.NoError(t, json.Unmarshal([]byte(line), &last), line)
			requireDocumented(t, string(doc), "progress", last)
			require.Equal(t, line == lines[len(lines)-1], last["complete"])
		}
		require.Equal(t, last["bytes_total"], last["bytes_done"])
		require.Equal(t, last["files_total"], last["files_done"])
	}

	o := r.run("put", "--progress=json", "DIR/a.txt", "DIR/absent", "s3://empty")
	require.Equal(t, int(fault.Partial), o.code)
	require.NotContains(t, o.err, `"complete":true`)
}

func TestProgress_IsOutOfTheWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fill(r)
	for _, style := range []string{"auto", "log", "none"} {
		require.Empty(t, r.run("put", "--progress", style, "DIR/a.txt", "s3://empty").err, "short transfers need none")
	}
	r.tty = true
	require.NotContains(t, r.run("put", "DIR/a.txt", "s3://empty").err, "%", "nor is there a bar for them")
	require.Empty(t, r.run("put", "--progress=none", "DIR/a.txt", "s3://empty").err)
	require.Empty(t, r.run("put", "-q", "DIR/a.txt", "s3://empty").err)
	r.tty = false
	require.Contains(t, r.run("put", "--progress=bar", "DIR/a.txt", "s3://empty").err, "100%")
	require.Equal(t, int(fault.Usage), r.run("put", "--progress=fancy", "DIR/a.txt", "s3://empty").code)
}
