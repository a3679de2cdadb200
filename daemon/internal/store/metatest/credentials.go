package metatest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

var credentialTests = []test{
	{"a saved key is found, with the store's time", func(t *testing.T, m store.Metadata) {
		c := store.Credential{AccessKey: "AKIA", Sealed: []byte{0, 1, 0xff, 0}, Note: "ключ of Ann", CreatedAt: now().AddDate(-5, 0, 0)}
		require.NoError(t, m.SaveCredential(t.Context(), c, ""))
		got, err := m.Credential(t.Context(), "AKIA")
		require.NoError(t, err)
		requireStoreTime(t, got.CreatedAt)
		c.CreatedAt = got.CreatedAt
		same(t, c, got)
	}},
	{"saving twice is Exists and changes nothing", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: "AKIA", Sealed: []byte("first")}, ""))
		requireKind(t, store.Exists, m.SaveCredential(t.Context(), store.Credential{AccessKey: "AKIA", Sealed: []byte("second")}, ""))
		got, err := m.Credential(t.Context(), "AKIA")
		require.NoError(t, err)
		require.Equal(t, "first", string(got.Sealed))
	}},
	{"a key takes the place of all with its note", func(t *testing.T, m store.Metadata) {
		for _, c := range []store.Credential{
			{AccessKey: "old", Sealed: []byte("1"), Note: "root"},
			{AccessKey: "older", Sealed: []byte("2"), Note: "root"},
			{AccessKey: "ann", Sealed: []byte("3"), Note: "of Ann"},
			{AccessKey: "taken", Sealed: []byte("4"), Note: "of Bob"},
		} {
			require.NoError(t, m.SaveCredential(t.Context(), c, ""))
		}
		keys := func() (all []string) {
			list, err := m.ListCredentials(t.Context())
			require.NoError(t, err)
			for _, c := range list {
				all = append(all, c.AccessKey+"="+string(c.Sealed)+" "+c.Note)
			}
			return all
		}
		require.NoError(t, m.ReplaceCredentials(t.Context(), store.Credential{AccessKey: "new", Sealed: []byte("5"), Note: "root"}, ""))
		require.Equal(t, []string{"ann=3 of Ann", "new=5 root", "taken=4 of Bob"}, keys())
		require.NoError(t, m.ReplaceCredentials(t.Context(), store.Credential{AccessKey: "new", Sealed: []byte("6"), Note: "root"}, ""))
		require.Equal(t, []string{"ann=3 of Ann", "new=6 root", "taken=4 of Bob"}, keys(), "and of its own former secret")
		require.NoError(t, m.ReplaceCredentials(t.Context(), store.Credential{AccessKey: "taken", Sealed: []byte("7"), Note: "root"}, ""))
		require.Equal(t, []string{"ann=3 of Ann", "taken=7 root"}, keys(), "and of the key of its name")
		require.NoError(t, m.ReplaceCredentials(t.Context(), store.Credential{AccessKey: "first", CreatedAt: now().AddDate(-5, 0, 0)}, ""))
		got, err := m.Credential(t.Context(), "first")
		require.NoError(t, err, "where there was none")
		requireStoreTime(t, got.CreatedAt)
	}},
	{"a replacement is one step", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: "key-0", Note: "root"}, ""))
		done := make(chan error, 1)
		go func() {
			for i := range 20 {
				if err := m.ReplaceCredentials(t.Context(), store.Credential{AccessKey: fmt.Sprintf("key-%d", i+1), Note: "root"}, ""); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for ended := false; !ended; {
			select {
			case err := <-done:
				require.NoError(t, err)
				ended = true
			default:
			}
			all, err := m.ListCredentials(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 1)
		}
	}},
	{"unknown keys are NotFound", func(t *testing.T, m store.Metadata) {
		_, err := m.Credential(t.Context(), "unknown")
		requireKind(t, store.NotFound, err)
		requireKind(t, store.NotFound, m.DeleteCredential(t.Context(), "unknown", ""))
	}},
	{"access keys differ by case", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: "abc"}, ""))
		require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: "ABC"}, ""))
		_, err := m.Credential(t.Context(), "Abc")
		requireKind(t, store.NotFound, err)
	}},
	{"the list is by access key, as bytes", func(t *testing.T, m store.Metadata) {
		none, err := m.ListCredentials(t.Context())
		require.NoError(t, err)
		require.Empty(t, none)
		for _, key := range []string{"b", "B", "a", "a-"} {
			require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: key, Sealed: []byte(key)}, ""))
		}
		all, err := m.ListCredentials(t.Context())
		require.NoError(t, err)
		var got []string
		for _, c := range all {
			require.Equal(t, c.AccessKey, string(c.Sealed))
			got = append(got, c.AccessKey)
		}
		require.Equal(t, []string{"B", "a", "a-", "b"}, got)
	}},
	{"a deleted key is NotFound", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: "AKIA"}, ""))
		require.NoError(t, m.DeleteCredential(t.Context(), "AKIA", ""))
		_, err := m.Credential(t.Context(), "AKIA")
		requireKind(t, store.NotFound, err)
		require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: "AKIA"}, ""))
	}},
	{"errors do not hold the secret", func(t *testing.T, m store.Metadata) {
		c := store.Credential{AccessKey: "AKIA", Sealed: []byte("sealed-secret")}
		require.NoError(t, m.SaveCredential(t.Context(), c, ""))
		require.NotContains(t, m.SaveCredential(t.Context(), c, "").Error(), "sealed-secret")
	}},
}
