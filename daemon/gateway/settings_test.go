package gateway

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/conf"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

func valid() Config {
	c := DefaultConfig()
	c.JoinToken, c.MasterKey = "sixteen letters.", conf.Secret(strings.Repeat("00", 32))
	return c
}

func TestSettings_ClosedByDefault(t *testing.T) {
	t.Parallel()
	c := valid()
	require.NoError(t, c.Validate())
	require.True(t, onThisHost(c.Listen), c.Listen)
	require.True(t, onThisHost(c.ListenGRPC), c.ListenGRPC)
	c.JoinToken = "fifteen letters"
	require.ErrorContains(t, c.Validate(), "--join-token: ")
	require.NotContains(t, c.Validate().Error(), "fifteen")
}

func TestSettings_ProfilesStayOnThisHost(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"127.0.0.1:6060": true, "127.9.9.9:0": true, "[::1]:6060": true, "localhost:6060": true, "[::ffff:127.0.0.1]:1": true,
		":6060": false, "0.0.0.0:6060": false, "[::]:6060": false, "192.0.2.1:6060": false, "example.com:6060": false, "6060": false,
	} {
		c := valid()
		c.Profile = address
		require.Equal(t, ok, c.Validate() == nil, address)
	}
}

func TestWorthWarning(t *testing.T) {
	t.Parallel()
	for dsn, warns := range map[string]bool{
		"postgres://u:p@h/d": true, "postgres://u@h/d?password=x": true, "host=h password=x": true,
		"postgres://u@h/d": false, "host=h user=u": false,
	} {
		want := []string{"join-token"}
		if warns {
			want = []string{"database", "join-token"}
		}
		require.Equal(t, want, worthWarning([]string{"database", "join-token"}, Config{Database: conf.Secret(dsn)}), dsn)
	}
}

// Where output is not a terminal the key's secret is in a private file, and not in the output.
func TestFirstKey(t *testing.T) {
	t.Parallel()
	meta, out := mem.NewMetadata(), new(bytes.Buffer)
	master, err := access.NewMasterKey(make([]byte, access.MasterKeySize))
	require.NoError(t, err)
	c := valid()
	c.FirstKeyFile = filepath.Join(t.TempDir(), "key")
	start := func() (access.KeyPair, func(), error) {
		root, _, err := access.EnsureRoot(t.Context(), meta, master, access.KeyPair{})
		require.NoError(t, err)
		show, err := firstKey(t.Context(), root, c, meta, out)
		return root, show, err
	}
	root, show, err := start()
	require.NoError(t, err)
	show()
	require.Contains(t, out.String(), c.FirstKeyFile)
	require.Contains(t, out.String(), root.AccessKey)
	require.NotContains(t, out.String(), root.Secret)
	info, err := os.Stat(c.FirstKeyFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(c.FirstKeyFile)
	require.NoError(t, err)
	require.Equal(t, "RINGSTORE_ACCESS_KEY="+root.AccessKey+"\nRINGSTORE_SECRET_KEY="+root.Secret+"\n", string(text))

	out.Reset()
	_, show, err = start()
	require.NoError(t, err)
	show()
	require.Empty(t, out.String(), "a later start makes none")

	// A file that is there is not replaced, and no key is left whose secret no one has.
	require.NoError(t, meta.DeleteCredential(t.Context(), root.AccessKey, ""))
	_, _, err = start()
	require.Error(t, err)
	require.Contains(t, store.HintOf(err), "new file")
	again, err := os.ReadFile(c.FirstKeyFile)
	require.NoError(t, err)
	require.Equal(t, text, again)
	keys, err := meta.ListCredentials(t.Context())
	require.NoError(t, err)
	require.Empty(t, keys)
}
