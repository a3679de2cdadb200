package profile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/profile"
)

var good = profile.Profile{Endpoint: "http://127.0.0.1:8080", AccessKey: "RK1", Secret: "s3cret"}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestFile_SavedProfileIsReadBackByItsOwnerOnly(t *testing.T) {
	t.Parallel()
	f := profile.File(filepath.Join(t.TempDir(), "ringstore", "profiles.json"))
	require.NoError(t, f.Save("local", good))
	s, err := f.Load()
	require.NoError(t, err)
	require.Equal(t, good, s.Profiles["local"])

	info, err := os.Stat(string(f))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Dir(string(f)))
	require.NoError(t, err)
	require.Len(t, entries, 2, "only the file and its lock stay")
}

func TestFile_AbsentIsEmpty(t *testing.T) {
	t.Parallel()
	s, err := profile.File(filepath.Join(t.TempDir(), "no")).Load()
	require.NoError(t, err)
	require.Empty(t, s.Names())
	require.Equal(t, profile.Local, s.DefaultName())
}

func TestFile_BrokenFileIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "profiles.json")
	require.NoError(t, os.WriteFile(path, []byte("{half"), 0o600))
	err := profile.File(path).Save("a", good)
	require.ErrorContains(t, err, path)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "{half", string(data))
}

func TestFile_WritersTakeTurns(t *testing.T) {
	t.Parallel()
	f := profile.File(filepath.Join(t.TempDir(), "profiles.json"))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := f.Save(fmt.Sprintf("p%02d", i), good); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := f.Load()
	require.NoError(t, err)
	require.Len(t, s.Names(), 20)
}

func TestFile_UseAndRemove(t *testing.T) {
	t.Parallel()
	f := profile.File(filepath.Join(t.TempDir(), "profiles.json"))
	require.NoError(t, f.Save("a", good))
	require.NoError(t, f.Use("a"))
	s, err := f.Load()
	require.NoError(t, err)
	require.Equal(t, "a", s.DefaultName())

	var missing *profile.MissingError
	require.ErrorAs(t, f.Use("b"), &missing)
	require.Equal(t, []string{"a"}, missing.Known)
	require.Contains(t, missing.Hint(), "s3ctl profile add b")

	require.NoError(t, f.Remove("a"))
	require.ErrorAs(t, f.Remove("a"), &missing)
	s, err = f.Load()
	require.NoError(t, err)
	require.Equal(t, profile.Local, s.DefaultName(), "the default went with it")
}

func TestFile_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	f := profile.File(filepath.Join(t.TempDir(), "profiles.json"))
	for _, name := range []string{"", "a b", "../x", "ä"} {
		require.Error(t, f.Save(name, good), "name %q", name)
	}
	for _, endpoint := range []string{"", "127.0.0.1:8080", "ftp://h", "http://", "http://u@h", "http://h?x=1", "http://h#x", "http://h:port"} {
		p := good
		p.Endpoint = endpoint
		require.Error(t, f.Save("a", p), "endpoint %q", endpoint)
	}
	for _, p := range []profile.Profile{{Endpoint: good.Endpoint, AccessKey: "k"}, {Endpoint: good.Endpoint, Secret: "s"}, {Endpoint: good.Endpoint, AccessKey: "a:b", Secret: "s"}} {
		require.Error(t, f.Save("a", p))
	}
	_, err := os.Stat(string(f))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestSet_Choose(t *testing.T) {
	t.Parallel()
	other := profile.Profile{Endpoint: "https://store.example", AccessKey: "RK2", Secret: "x"}
	set := profile.Set{Profiles: map[string]profile.Profile{"local": good, "prod": other}}
	byDefault := set
	byDefault.Default = "prod"
	all := map[string]string{profile.EnvEndpoint: "http://e:1", profile.EnvAccessKey: "K", profile.EnvSecret: "S"}
	fromEnv := profile.Profile{Endpoint: "http://e:1", AccessKey: "K", Secret: "S"}

	for name, tc := range map[string]struct {
		set      profile.Set
		flag     string
		env      map[string]string
		want     profile.Profile
		wantName string
	}{
		"nothing named is local":         {set: set, want: good, wantName: "local"},
		"the default":                    {set: byDefault, want: other, wantName: "prod"},
		"environment before the default": {set: byDefault, env: map[string]string{profile.EnvProfile: "local"}, want: good, wantName: "local"},
		"flag before the environment":    {set: set, flag: "prod", env: map[string]string{profile.EnvProfile: "local"}, want: other, wantName: "prod"},
		"one field replaced": {
			set: set, env: map[string]string{profile.EnvEndpoint: "http://e:1"},
			want: profile.Profile{Endpoint: "http://e:1", AccessKey: "RK1", Secret: "s3cret"}, wantName: "local",
		},
		"environment alone": {env: all, want: fromEnv, wantName: "environment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, gotName, err := tc.set.Choose(tc.flag, env(tc.env))
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.wantName, gotName)
		})
	}

	t.Run("asked for and missing", func(t *testing.T) {
		t.Parallel()
		_, _, err := set.Choose("nope", env(all))
		var missing *profile.MissingError
		require.ErrorAs(t, err, &missing)
		require.EqualError(t, err, `profile "nope" does not exist (existing profiles: local, prod)`)
	})
	t.Run("none at all says how to get one", func(t *testing.T) {
		t.Parallel()
		_, _, err := profile.Set{}.Choose("", env(nil))
		var missing *profile.MissingError
		require.True(t, errors.As(err, &missing))
		require.Contains(t, missing.Hint(), "make up")
		require.Contains(t, missing.Hint(), "s3gateway standalone")
	})
	t.Run("broken by the environment", func(t *testing.T) {
		t.Parallel()
		_, _, err := set.Choose("", env(map[string]string{profile.EnvEndpoint: "nope"}))
		require.ErrorContains(t, err, `profile "local": endpoint "nope"`)
	})
}

// This test changes the process environment and so cannot be parallel.
func TestUserFile_HonorsTheEnvironmentAtEachCall(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	file, err := profile.UserFile()
	require.NoError(t, err)
	require.NoError(t, file.Save("local", good))
	s, err := file.Load()
	require.NoError(t, err)
	require.Equal(t, good, s.Profiles["local"])
	require.FileExists(t, filepath.Join(dir, "ringstore", "profiles.json"))

	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", "relative")
	t.Setenv("HOME", home)
	file, err = profile.UserFile()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(home, ".config", "ringstore", "profiles.json"), string(file))

	t.Setenv("HOME", "")
	_, err = profile.UserFile()
	var homeless *profile.NoHomeError
	require.ErrorAs(t, err, &homeless)
	require.Contains(t, homeless.Hint(), "XDG_CONFIG_HOME")
	_, err = profile.StateDir()
	require.ErrorAs(t, err, &homeless)
}

// A server does not overwrite a profile of a user or of another server: that key would be lost.
func TestFile_AServerReplacesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	file := profile.File(filepath.Join(t.TempDir(), "profiles.json"))
	load := func(name string) profile.Profile {
		set, err := file.Load()
		require.NoError(t, err)
		return set.Profiles[name]
	}
	mine := profile.Profile{Endpoint: "http://127.0.0.1:1", AccessKey: "a", Secret: "s", Owner: "/data/one"}
	require.NoError(t, file.SaveOwned("local", mine))
	mine.Endpoint = "http://127.0.0.1:2"
	require.NoError(t, file.SaveOwned("local", mine), "at another port it is the same server")
	require.Equal(t, mine, load("local"))

	other := profile.Profile{Endpoint: "http://127.0.0.1:3", AccessKey: "b", Secret: "t", Owner: "/data/two"}
	err := file.SaveOwned("local", other)
	var taken *profile.TakenError
	require.ErrorAs(t, err, &taken)
	require.ErrorContains(t, err, "/data/one")
	require.Contains(t, taken.Hint(), "profile rm local")
	require.Equal(t, mine, load("local"))

	require.NoError(t, file.Save("local", good), "a person may")
	require.Empty(t, load("local").Owner)
	require.ErrorAs(t, file.SaveOwned("local", mine), &taken)
	same := good
	same.Owner = "/data/one"
	require.NoError(t, file.SaveOwned("local", same), "what says the same loses nothing")
	unnamed := good
	unnamed.Owner = ""
	require.Error(t, file.SaveOwned("new", unnamed))
	require.Error(t, file.SaveOwned("../x", mine))
}
