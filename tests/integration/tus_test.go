package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/tests/cluster"
)

// python is the system's, for which Debian packages tuspy, the tus project's client.
const python = "/usr/bin/python3"

// uploader sends a file with tuspy in pieces of 4 MiB, stores and prints its URL. With a number as its last argument it
// stops after so many pieces, as a killed program does.
const uploader = `
import sys
from tusclient import client
from tusclient.storage import filestorage
base, auth, path, memory, name, checksum = sys.argv[1:7]
c = client.TusClient(base, headers={"Authorization": auth})
u = c.uploader(path, chunk_size=4 << 20, metadata={"filename": name, "bucket": "default"}, retries=10, retry_delay=1,
               store_url=True, url_storage=filestorage.FileStorage(memory), upload_checksum=checksum == "checksum")
print("offset", u.offset, flush=True)
pieces = int(sys.argv[7]) if len(sys.argv) > 7 else 1 << 30
while u.offset < u.get_file_size() and pieces > 0:
    u.upload_chunk()
    pieces -= 1
print("url", u.url, "offset", u.offset, flush=True)
`

// tuspy runs the uploader and returns its output.
func tuspy(t *testing.T, c *cluster.Cluster, args ...string) string {
	t.Helper()
	auth := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.AccessKey+":"+c.SecretKey))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, err := exec.CommandContext(ctx, python, append([]string{"-c", uploader, c.URL + "/tus", auth}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s\n`make test` installs tuspy on Debian (python3-tuspy); elsewhere: pip install tuspy", out)
	return string(out)
}

// An unmodified tus client uploads, is interrupted, and resumes: after it stopped, through a gateway that was killed
// meanwhile, and without a node.
func TestTus_AClientThatWeDidNotWrite(t *testing.T) {
	t.Parallel()
	c, api := start(t, cluster.Options{Gateway: quick})
	dir := t.TempDir()
	data := noise(30 * mib)
	path := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	for _, checksum := range []string{"plain", "checksum"} {
		memory := filepath.Join(dir, checksum)
		args := []string{path, memory, "tus/" + checksum, checksum}
		require.Contains(t, tuspy(t, c, append(args, "3")...), "offset 12582912")
		require.NoError(t, c.Gateway.Kill())
		require.NoError(t, c.Nodes[2].Kill())
		require.NoError(t, c.Gateway.Start())
		eventually(t, "the gateway is back", func() bool { n, err := c.Online(t.Context()); return err == nil && n >= 5 })

		said := tuspy(t, c, args...)
		require.True(t, strings.HasPrefix(said, "offset 12582912\n"), "it goes on where it was: %s", said)
		require.Contains(t, said, fmt.Sprint("offset ", len(data)))
		f, err := api.Latest(t.Context(), "default", "tus/"+checksum)
		require.NoError(t, err)
		require.Equal(t, crcOf(data), f.Checksums.CRC64NVME)
		same(t, api, f.FileID, data)
		require.NoError(t, c.Nodes[2].Start())
		eventually(t, "the node is back", func() bool { n, err := c.Online(t.Context()); return err == nil && n == 6 })
	}
	for s, err := range api.Sessions(t.Context(), "", "") {
		t.Errorf("a session is left: %v %v", s, err)
	}
	_, err := api.Upload(t.Context(), client.Upload{Bucket: "default", Name: "x", Size: 0, ContentType: "a/b", Body: bytes.NewReader(nil)})
	require.NoError(t, err, "the API beside it works on")
}
