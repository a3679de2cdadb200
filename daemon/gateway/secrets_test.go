package gateway

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(t.Context(), append([]string{"secrets"}, args...), nil, &out, &errs)
		return code, out.String(), errs.String()
	}
	read := func() map[string]string {
		all := map[string]string{}
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			require.NoError(t, err)
			if d.IsDir() {
				return nil
			}
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			name, err := filepath.Rel(dir, path)
			require.NoError(t, err)
			all[name] = string(bytes.TrimSpace(text))
			want := os.FileMode(0o600)
			if name == "database/password" {
				want = 0o644
			}
			info, err := d.Info()
			require.NoError(t, err)
			require.Equal(t, want, info.Mode(), name)
			return nil
		}))
		return all
	}
	code, out, _ := run("init", dir, "postgres://ringstore@postgres:5432/ringstore")
	require.Equal(t, 0, code)
	made := read()
	require.Len(t, made, 5)
	for name, secret := range made {
		require.NotContains(t, out, secret, name)
	}
	require.NoError(t, rpc.CheckJoinToken(made["cluster/join-token"]))
	_, err := access.ParseMasterKey(made["gateway/master-key"])
	require.NoError(t, err)
	require.NoError(t, access.KeyPair{AccessKey: "ringstore-root", Secret: made["gateway/root-secret-key"]}.Validate())
	require.Equal(t, "postgres://ringstore:"+made["database/password"]+"@postgres:5432/ringstore", made["gateway/database-url"])

	require.NoError(t, os.Remove(filepath.Join(dir, "gateway/database-url")))
	code, _, _ = run("init", dir, "postgres://ringstore@postgres:5432/ringstore")
	require.Equal(t, 0, code)
	require.Equal(t, made, read(), "what is there stays, what is missing comes back")

	code, out, _ = run("show", dir)
	require.Equal(t, 0, code)
	require.Equal(t, "RINGSTORE_ACCESS_KEY=ringstore-root\nRINGSTORE_SECRET_KEY="+made["gateway/root-secret-key"]+"\n", out)

	for _, bad := range [][]string{{}, {"init"}, {"init", dir}, {"init", dir, "postgres"}, {"show"}, {"other", dir}} {
		code, _, errs := run(bad...)
		require.Equal(t, 2, code, "%v", bad)
		require.Contains(t, errs, "secrets --help")
	}
	code, _, _ = run("show", t.TempDir())
	require.Equal(t, 1, code)
}
