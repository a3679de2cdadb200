package access_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rawKey is the master key of the golden files.
var rawKey = []byte("0123456789abcdefghijklmnopqrstuv")

func master(t testing.TB) *access.MasterKey {
	t.Helper()
	m, err := access.NewMasterKey(rawKey)
	require.NoError(t, err)
	return m
}

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte{0xfb, 0xef, 0xff, 0x01}, 8) // needs the characters in which the alphabets differ
	want, err := access.NewMasterKey(raw)
	require.NoError(t, err)
	sealed := want.Seal("key", "secret")
	for name, text := range map[string]string{
		"hex":            hex.EncodeToString(raw),
		"upper hex":      strings.ToUpper(hex.EncodeToString(raw)),
		"base64":         base64.StdEncoding.EncodeToString(raw),
		"unpadded":       base64.RawStdEncoding.EncodeToString(raw),
		"for URLs":       base64.URLEncoding.EncodeToString(raw),
		"with a newline": hex.EncodeToString(raw) + "\n",
	} {
		got, err := access.ParseMasterKey(text)
		require.NoError(t, err, name)
		secret, err := got.Open("key", sealed)
		require.NoError(t, err, name)
		require.Equal(t, "secret", secret, name)
	}
	for _, text := range []string{"", "short", hex.EncodeToString(raw[:31]), hex.EncodeToString(append(raw, 0)), strings.Repeat("!", 44)} {
		_, err := access.ParseMasterKey(text)
		require.ErrorIs(t, err, store.Invalid, text)
		require.NotEmpty(t, store.HintOf(err))
		if text != "" {
			require.NotContains(t, err.Error(), text)
		}
	}
	_, err = access.NewMasterKey(raw[:16])
	require.ErrorIs(t, err, store.Invalid)
}

func TestEnsureMasterKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "master.key")
	first, made, err := access.EnsureMasterKey(path)
	require.NoError(t, err)
	require.True(t, made)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	second, made, err := access.EnsureMasterKey(path)
	require.NoError(t, err)
	require.False(t, made)
	secret, err := second.Open("key", first.Seal("key", "secret"))
	require.NoError(t, err)
	require.Equal(t, "secret", secret)
}

// A key file that cannot be read is never replaced.
func TestEnsureMasterKeyKeepsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	require.NoError(t, os.WriteFile(path, []byte("damaged"), 0o600))
	_, _, err := access.EnsureMasterKey(path)
	require.ErrorIs(t, err, store.Invalid)
	require.Contains(t, err.Error(), path)
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "damaged", string(kept))
}

func TestReadMasterKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "binary")
	require.NoError(t, os.WriteFile(binary, rawKey, 0o600))
	m, err := access.ReadMasterKey(binary)
	require.NoError(t, err)
	_, err = m.Open("key", master(t).Seal("key", "secret"))
	require.NoError(t, err)

	_, err = access.ReadMasterKey(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, store.NotFound)
	require.NotEmpty(t, store.HintOf(err))
	_, err = access.ReadMasterKey(dir)
	require.ErrorIs(t, err, store.Internal)
}

func TestEnsureMasterKeyWithoutAPlace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, _, err := access.EnsureMasterKey(filepath.Join(file, "master.key"))
	require.Error(t, err)
}

func TestSealingIsBound(t *testing.T) {
	t.Parallel()
	m := master(t)
	other, err := access.NewMasterKey(bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.StringMatching(`[A-Za-z0-9]{3,40}`).Draw(r, "key")
		secret := rapid.StringN(0, 64, 128).Draw(r, "secret")
		sealed := m.Seal(key, secret)
		got, err := m.Open(key, sealed)
		require.NoError(r, err)
		require.Equal(r, secret, got)

		_, err = m.Open(key+"x", sealed)
		require.ErrorIs(r, err, store.Corrupt, "another access key's row")
		_, err = other.Open(key, sealed)
		require.ErrorIs(r, err, store.Conflict, "another master key")
		at := rapid.IntRange(0, len(sealed)-1).Draw(r, "at")
		bad := bytes.Clone(sealed)
		bad[at] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		_, err = m.Open(key, bad)
		require.Error(r, err, "a flipped bit")
		_, err = m.Open(key, sealed[:at])
		require.Error(r, err, "a torn envelope")
		require.NotEqual(r, sealed, m.Seal(key, secret), "nonces differ")
	})
}

// Secrets sealed by earlier versions can be opened permanently.
func TestGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/sealed-secret-v1.json")
	require.NoError(t, err)
	var golden struct {
		MasterKey string `json:"master_key"`
		AccessKey string `json:"access_key"`
		Secret    string `json:"secret"`
		Sealed    string `json:"sealed"`
	}
	require.NoError(t, json.Unmarshal(data, &golden))
	m, err := access.ParseMasterKey(golden.MasterKey)
	require.NoError(t, err)
	sealed, err := hex.DecodeString(golden.Sealed)
	require.NoError(t, err)
	secret, err := m.Open(golden.AccessKey, sealed)
	require.NoError(t, err)
	require.Equal(t, golden.Secret, secret)
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	pair := access.NewKeyPair()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "pair", pair, "master", master(t))
	shown := fmt.Sprintf("%v %+v %#v %s %q %v %#v", pair, pair, pair, pair, pair, master(t), master(t)) + log.String()
	require.NotContains(t, shown, pair.Secret)
	require.NotContains(t, shown, string(rawKey))
	require.Contains(t, shown, pair.AccessKey)
}

func TestKeyPairs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		pair := access.NewKeyPair()
		require.Regexp(t, `^RS[A-Z2-7]{18}$`, pair.AccessKey)
		require.Regexp(t, `^[A-Z2-7]{40}$`, pair.Secret)
		require.NoError(t, pair.Validate())
		require.False(t, seen[pair.AccessKey] || seen[pair.Secret])
		seen[pair.AccessKey], seen[pair.Secret] = true, true
	}
	good := access.NewKeyPair()
	for _, bad := range []access.KeyPair{
		{"", good.Secret},
		{"ab", good.Secret},
		{"a:b", good.Secret},
		{"a/b", good.Secret},
		{"a b", good.Secret},
		{"kéy", good.Secret},
		{strings.Repeat("a", 129), good.Secret},
		{good.AccessKey, ""},
		{good.AccessKey, "1234567"},
		{good.AccessKey, "1234567\n"},
		{good.AccessKey, strings.Repeat("a", 129)},
	} {
		err := bad.Validate()
		require.ErrorIs(t, err, store.Invalid)
		require.NotEmpty(t, store.HintOf(err))
		if len(bad.Secret) > 2 {
			require.NotContains(t, err.Error(), bad.Secret)
		}
	}
}
