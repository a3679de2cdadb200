package ctl

import (
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/rest"
)

func (r *rig) names() []string {
	r.t.Helper()
	set, err := r.profiles.Load()
	require.NoError(r.t, err)
	return set.Names()
}

func TestProfileAdd_AsksTheServer(t *testing.T) {
	t.Parallel()
	answer := func(status int, text string) resttest.Hook {
		return func(w http.ResponseWriter, req *http.Request) bool {
			if req.URL.Path == "/health" {
				require.Empty(t, req.Header.Get("Authorization"), "no key goes to who is not known yet")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(text))
				return true
			}
			return false
		}
	}
	const known = `{"status":"unavailable","metadata":"ok","nodes":{},"survive":{},"reasons":["no node"]}`
	for name, tc := range map[string]struct {
		hook     resttest.Hook
		endpoint string
		secret   string
		want     fault.Exit
	}{
		"a gateway":                       {nil, "URL", resttest.Secret, fault.OK},
		"a slash behind it":               {nil, "URL/", resttest.Secret, fault.OK},
		"a gateway without nodes":         {answer(503, known), "URL", resttest.Secret, fault.OK},
		"a web server":                    {answer(200, "<html>"), "URL", resttest.Secret, fault.Invalid},
		"something that knows no /health": {answer(404, `{"status":404}`), "URL", resttest.Secret, fault.Invalid},
		"nobody":                          {nil, "http://127.0.0.1:1", resttest.Secret, fault.Unavailable},
		"a wrong secret":                  {nil, "URL", "not-the-secret", fault.Denied},
		"no secret":                       {nil, "URL", "", fault.Invalid},
		"no URL":                          {nil, "localhost:8080", resttest.Secret, fault.Invalid},
		"a user in it":                    {nil, "http://me@localhost", resttest.Secret, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.SetHook(tc.hook)
			r.stdin = tc.secret + "\n"
			o := r.run("profile", "add", "new", "--endpoint", tc.endpoint, "--access-key", resttest.AccessKey)
			require.Equal(t, int(tc.want), o.code, o.err)
			require.NotContains(t, o.out+o.err, "not-the-secret")
			saved := []string{"local"}
			if tc.want == fault.OK {
				saved = append(saved, "new")
			}
			require.Equal(t, saved, r.names())
		})
	}
}

func TestProfileAdd_FromTheEnvironment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env = map[string]string{profile.EnvEndpoint: r.URL, profile.EnvAccessKey: resttest.AccessKey, profile.EnvSecret: resttest.Secret}
	r.ok("profile", "add", "all")
	r.env[profile.EnvEndpoint] = "http://127.0.0.1:1"
	r.ok("profile", "add", "flag", "--endpoint", r.URL)
	r.env = map[string]string{}
	for _, name := range []string{"all", "flag"} {
		r.ok("--profile", name, "ls")
	}
	require.Equal(t, int(fault.Usage), r.run("profile", "add", "none").code)
	info, err := os.Stat(string(r.profiles))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestProfileShow_WhereEachFieldIsFrom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.profiles.Save("other", profile.Profile{Endpoint: "http://other:1", AccessKey: "OTHER", Secret: "hidden"}))
	require.Contains(t, r.ok("profile", "show"), "name\tdefault\tlocal\nendpoint\tprofile\tURL\n")
	require.Contains(t, r.ok("profile", "show", "other"), "name\targument\tother\n")
	require.Contains(t, r.ok("profile", "show", "--profile", "other"), "name\t--profile\tother\n")
	r.env[profile.EnvProfile] = "other"
	r.env[profile.EnvSecret] = "hidden too"
	shown := r.ok("profile", "show")
	require.Contains(t, shown, "name\tRINGSTORE_PROFILE\tother\nendpoint\tprofile\thttp://other:1\n")
	require.Contains(t, shown, "secret\tRINGSTORE_SECRET_KEY\t(not shown)\n")
	require.NotContains(t, shown+r.ok("profile", "show", "--json"), "hidden")
	require.Equal(t, int(fault.NotFound), r.run("profile", "show", "nope").code)
	r.env[profile.EnvEndpoint] = "nope"
	require.Equal(t, int(fault.Invalid), r.run("profile", "show").code)

	r.env = map[string]string{profile.EnvEndpoint: "http://h:1", profile.EnvAccessKey: "K", profile.EnvSecret: "S"}
	require.NoError(t, os.Remove(string(r.profiles)))
	require.Contains(t, r.ok("profile", "show"), "name\tenvironment\tenvironment\n")
}

// s3ctl always writes the file with mode 0600, but a restored backup may have another.
func TestProfileShow_WarnsOfAFileThatOthersRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.Empty(t, r.run("profile", "show").err)
	require.NoError(t, os.Chmod(string(r.profiles), 0o644))
	require.Equal(t, "s3ctl: others can read the secrets in PROFILES: chmod 600 PROFILES\n", r.run("profile", "show").err)
	require.Empty(t, r.run("profile", "show", "--json").err)
	r.ok("profile", "use", "local")
	require.Empty(t, r.run("profile", "show").err, "whatever changes the file puts that right")
}

// An error without a hint gets the hint of its kind; local files have their own.
func TestErrors_NextSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.SetHook(func(w http.ResponseWriter, _ *http.Request) bool {
		resttest.Refuse(w, http.StatusForbidden, rest.CodeDenied, "because", "")
		return true
	})
	require.Contains(t, r.run("ls").err, "next: s3ctl profile show")
	r.SetHook(nil)
	require.Contains(t, r.run("put", "DIR/absent", "s3://default").err, "next: check the path; a relative one is relative to the current folder\n")
	require.Contains(t, r.run("put", "--bwlimit", "x", "DIR/absent", "s3://default").err, "next: s3ctl put --help\n")
	require.Contains(t, r.run("lss").err, "next: did you mean: s3ctl ls?\nnext: s3ctl --help\n")
	require.Contains(t, r.run("bucket", "lss").err, "next: did you mean: s3ctl bucket ls?\n")
	require.Contains(t, r.run("--profile", "ls", "nonsense").err, `unknown command "nonsense"`)
	for _, row := range fault.Table() {
		for _, kind := range row.Kinds {
			quiet := row.Exit == fault.OK || row.Exit == fault.Usage || row.Exit == fault.Partial || row.Exit == fault.Different || row.Exit == fault.Interrupted
			require.Equal(t, quiet, fault.NextOf(fault.New(kind, "x")) == "", "%s: usage and partial say it themselves, the others are no mishap", kind)
		}
	}
}
