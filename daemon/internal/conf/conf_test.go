package conf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/conf"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

type logConfig struct {
	Level string `conf:"log-level" help:"least level that is logged"`
}

type config struct {
	logConfig
	Data      string        `conf:"data" arg:"DIR" required:"true" help:"directory of this node"`
	Gateway   []string      `conf:"gateway" arg:"HOST:PORT" help:"gateway to join through; may be repeated"`
	Heartbeat time.Duration `conf:"heartbeat" help:"time between heartbeats"`
	Limit     conf.Size     `conf:"limit" help:"most bytes to use; 0 is the whole disk"`
	JoinToken conf.Secret   `conf:"join-token" help:"token of the cluster"`
	Weight    int           `conf:"weight" help:"share of the ring"`
	Insecure  bool          `conf:"insecure" help:"take calls without a token"`
	DB        struct {
		MaxConns int64   `conf:"max-conns" help:"connections to the database"`
		Ratio    float64 `conf:"ratio" help:"share of them kept open"`
	} `conf:"db"`
	derived string
}

func (c *config) Validate() error {
	if c.Weight < 1 {
		return errors.New("--weight: the least is 1")
	}
	return nil
}

func defaults() *config {
	c := &config{Heartbeat: 10 * time.Second, Weight: 1, Gateway: []string{"localhost:9090"}}
	c.Level = "info"
	c.DB.MaxConns = 8
	return c
}

// load runs Load with the given arguments and environment, and returns the filled target and the output.
func load(args, environ []string) (*config, string, error) {
	c := defaults()
	var out bytes.Buffer
	err := conf.Load(conf.Spec{
		Program: "s3storage", Summary: "Keeps chunks.", Usage: []string{"--data DIR [flags]"}, Version: "1.2.3",
		EnvPrefix: "RINGSTORE_", Target: c, Args: args, Environ: environ, Output: &out,
	})
	return c, out.String(), err
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLoad_Precedence(t *testing.T) {
	t.Parallel()
	path := write(t, "c.yaml", "data: /file\nheartbeat: 1s\nlimit: 1GiB\nweight: 4\ndb:\n  max-conns: 9\n  ratio: 0.5\ngateway: [a:1, b:2]\n")
	c, _, err := load(
		[]string{"--data", "/flag", "--config", path},
		[]string{"RINGSTORE_DATA=/env", "RINGSTORE_HEARTBEAT=2s", "RINGSTORE_WEIGHT=", "HOME=/root", "RINGSTORE_INSECURE=true"})
	require.NoError(t, err)
	require.Equal(t, "/flag", c.Data, "a flag beats all")
	require.Equal(t, 2*time.Second, c.Heartbeat, "the environment beats the file")
	require.Equal(t, conf.Size(1<<30), c.Limit, "the file beats the default")
	require.Equal(t, 4, c.Weight, "an empty variable is not set")
	require.Equal(t, int64(9), c.DB.MaxConns)
	require.Equal(t, 0.5, c.DB.Ratio)
	require.Equal(t, []string{"a:1", "b:2"}, c.Gateway)
	require.True(t, c.Insecure)
	require.Equal(t, "info", c.Level, "an untouched default stays")
	require.Empty(t, c.derived)
}

func TestLoad_ListsReplaceDefaults(t *testing.T) {
	t.Parallel()
	c, _, err := load([]string{"--data=/d", "--gateway", "a:1", "--gateway", "b:2"}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a:1", "b:2"}, c.Gateway)
	c, _, err = load(nil, []string{"RINGSTORE_DATA=/d", "RINGSTORE_GATEWAY=a:1, b:2", "RINGSTORE_DB_MAX_CONNS=3"})
	require.NoError(t, err)
	require.Equal(t, []string{"a:1", "b:2"}, c.Gateway)
	require.Equal(t, int64(3), c.DB.MaxConns)
	c, _, err = load([]string{"--config", write(t, "c.yaml", "data: /d\ngateway: one:1\n"), "--insecure"}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"one:1"}, c.Gateway)
	require.True(t, c.Insecure)
}

func TestLoad_Refuses(t *testing.T) {
	t.Parallel()
	file := func(text string) []string { return []string{"--data=/d", "--config", write(t, "c.yaml", text)} }
	for name, c := range map[string]struct {
		args, environ []string
		want          string
	}{
		"required":       {nil, nil, "--data (or RINGSTORE_DATA) is required"},
		"flag":           {[]string{"--dat=/d"}, nil, "--dat"},
		"argument":       {[]string{"--data=/d", "extra"}, nil, `"extra"`},
		"duration":       {[]string{"--data=/d", "--heartbeat=10"}, nil, "--heartbeat"},
		"size":           {[]string{"--data=/d", "--limit=lots"}, nil, `"lots" is not a size`},
		"variable":       {nil, []string{"RINGSTORE_DATA=/d", "RINGSTORE_WEIGHT=x"}, "RINGSTORE_WEIGHT"},
		"variable slip":  {nil, []string{"RINGSTORE_DATA=/d", "RINGSTORE_GATWAY=x"}, "did you mean RINGSTORE_GATEWAY?"},
		"file missing":   {[]string{"--data=/d", "--config=/nowhere/c.yaml"}, nil, "/nowhere/c.yaml"},
		"file broken":    {file("data: [\n"), nil, "yaml"},
		"file key":       {file("weight: 1\n\ncolour: red\n"), nil, `line 3: unknown setting "colour"`},
		"file group key": {file("db:\n  max-con: 1\n"), nil, `line 2: unknown setting "db.max-con"`},
		"file not group": {file("weight:\n  a: 1\n"), nil, "line 1: weight: is a group"},
		"file twice":     {file("weight: 1\nweight: 2\n"), nil, "line 2: weight is set twice"},
		"file no group":  {file("- weight: 1\n"), nil, "line 1: the file is not a list of settings"},
		"file lists":     {file("gateway: [[a], [b]]\n"), nil, "line 1: gateway: is a list of lists"},
		"file null":      {file("weight:\n"), nil, "has no value"},
		"file list":      {file("weight: [1, 2]\n"), nil, "is a list"},
		"file config":    {file("config: other.yaml\n"), nil, `unknown setting "config"`},
		"validate":       {[]string{"--data=/d", "--weight=0"}, nil, "--weight: the least is 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := load(c.args, c.environ)
			require.ErrorIs(t, err, store.Invalid)
			require.ErrorContains(t, err, c.want)
			require.Contains(t, store.HintOf(err), "s3storage --help")
		})
	}
}

func TestLoad_LaxAsksForNothing(t *testing.T) {
	t.Parallel()
	c := defaults()
	err := conf.Load(conf.Spec{EnvPrefix: "RINGSTORE_", Target: c, Environ: []string{"RINGSTORE_WEIGHT=0"}, Lax: true})
	require.NoError(t, err)
	require.Zero(t, c.Weight)
}

func TestLoad_IgnoresOtherPrograms(t *testing.T) {
	t.Parallel()
	_, _, err := load([]string{"--data=/d"}, []string{"RINGSTORE_PROFILE=local", "RINGSTORE_PORT=tcp://10.0.0.1:80", "RINGSTORE_SERVICE_HOST=10.0.0.1"})
	require.NoError(t, err)
}

func TestLoad_Secrets(t *testing.T) {
	t.Parallel()
	path := write(t, "token", "from a file\n")
	for name, c := range map[string]struct {
		args, environ []string
		want          string
	}{
		"flag":               {[]string{"--join-token=x"}, nil, "x"},
		"variable":           {nil, []string{"RINGSTORE_JOIN_TOKEN=x"}, "x"},
		"flag file":          {[]string{"--join-token-file", path}, nil, "from a file"},
		"variable file":      {nil, []string{"RINGSTORE_JOIN_TOKEN_FILE=" + path}, "from a file"},
		"flag over variable": {[]string{"--join-token-file", path}, []string{"RINGSTORE_JOIN_TOKEN=x"}, "from a file"},
		"variable under":     {[]string{"--join-token=x"}, []string{"RINGSTORE_JOIN_TOKEN_FILE=" + path}, "x"},
	} {
		cfg, _, err := load(append(c.args, "--data=/d"), c.environ)
		require.NoError(t, err, name)
		require.Equal(t, c.want, cfg.JoinToken.Reveal(), name)
	}
	for name, args := range map[string][]string{
		"both":    {"--join-token=hidden", "--join-token-file", path},
		"missing": {"--join-token-file", path + "x"},
		"empty":   {"--join-token-file", write(t, "empty", "\n")},
	} {
		_, _, err := load(append(args, "--data=/d"), nil)
		require.ErrorIs(t, err, store.Invalid, name)
		require.ErrorContains(t, err, "--join-token-file", name)
		require.NotContains(t, err.Error(), "hidden", name)
	}
}

func TestSecret_IsNeverShown(t *testing.T) {
	t.Parallel()
	s := conf.Secret("hidden")
	j, err := json.Marshal(map[string]any{"s": s})
	require.NoError(t, err)
	shown := fmt.Sprintf("%v %s %#v %+v %q %s %s", s, s, s, struct{ S conf.Secret }{s}, s, j, s.LogValue())
	require.NotContains(t, shown, "hidden")
	require.Contains(t, shown, "(set)")
	require.Empty(t, conf.Secret("").String())
}

func TestLoad_Help(t *testing.T) {
	t.Parallel()
	_, out, err := load([]string{"--help"}, []string{"RINGSTORE_JOIN_TOKEN=hidden"})
	require.ErrorIs(t, err, conf.ErrHelp)
	for _, want := range []string{
		"Keeps chunks.", "s3storage --data DIR [flags]",
		"--data DIR, RINGSTORE_DATA (required)\n        directory of this node",
		"--heartbeat duration, RINGSTORE_HEARTBEAT (default 10s)",
		"--limit size, RINGSTORE_LIMIT (default 0)",
		"--gateway HOST:PORT, RINGSTORE_GATEWAY (default localhost:9090)",
		"--join-token-file FILE, RINGSTORE_JOIN_TOKEN_FILE",
		"--db-max-conns int64, RINGSTORE_DB_MAX_CONNS (default 8)",
		"--insecure, RINGSTORE_INSECURE (default false)",
		"--log-level string, RINGSTORE_LOG_LEVEL (default info)",
		"--config FILE, RINGSTORE_CONFIG",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "hidden")

	_, out, err = load([]string{"--version"}, nil)
	require.ErrorIs(t, err, conf.ErrHelp)
	require.Equal(t, "s3storage 1.2.3\n", out)
}

func TestLoad_PanicsOnABadDeclaration(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]any{
		"no pointer": config{},
		"twice": &struct {
			A string `conf:"a"`
			B string `conf:"a"`
		}{},
		"kind": &struct {
			A chan int `conf:"a"`
		}{},
	} {
		require.Panics(t, func() { _ = conf.Load(conf.Spec{Target: target}) }, name)
	}
}

func TestSize_Text(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]conf.Size{
		"0": 0, "512": 512, "10GiB": 10 << 30, "10G": 10 << 30, "10GB": 10e9, "1.5 MiB": 3 << 19, "64 kib": 64 << 10,
	} {
		var s conf.Size
		require.NoError(t, s.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, s, text)
	}
	for _, text := range []string{"", "x", "-1", "10 parsecs", "20EiB"} {
		var s conf.Size
		require.Error(t, s.UnmarshalText([]byte(text)), text)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := conf.Size(rapid.Int64Range(0, 1<<52).Draw(t, "bytes") << rapid.IntRange(0, 10).Draw(t, "shift"))
		var got conf.Size
		require.NoError(t, got.UnmarshalText([]byte(want.String())))
		require.Equal(t, want, got)
	})
}

func ExampleLoad() {
	settings := struct {
		Data      string        `conf:"data" arg:"DIR" required:"true" help:"directory of this node"`
		Heartbeat time.Duration `conf:"heartbeat" help:"time between heartbeats"`
		Reserve   conf.Size     `conf:"reserve" help:"space to leave free"`
		JoinToken conf.Secret   `conf:"join-token" help:"token of the cluster"`
	}{Heartbeat: 10 * time.Second, Reserve: 1 << 30}

	err := conf.Load(conf.Spec{
		Program:   "s3storage",
		EnvPrefix: "RINGSTORE_",
		Target:    &settings,
		Args:      []string{"--data", "/srv/disk1", "--reserve=10GiB"},
		Environ:   []string{"RINGSTORE_HEARTBEAT=5s", "RINGSTORE_JOIN_TOKEN=swordfish"},
		Output:    os.Stdout,
	})
	fmt.Printf("%+v %v\n", settings, err)
	// Output: {Data:/srv/disk1 Heartbeat:5s Reserve:10GiB JoinToken:(set)} <nil>
}

func TestLoad_TellsWhichSecretsEveryUserCanSee(t *testing.T) {
	t.Parallel()
	path := write(t, "token", "hidden")
	for name, c := range map[string]struct {
		args, environ []string
		want          []string
	}{
		"flag":     {[]string{"--join-token=hidden"}, nil, []string{"join-token"}},
		"file":     {[]string{"--join-token-file", path}, nil, nil},
		"variable": {nil, []string{"RINGSTORE_JOIN_TOKEN=hidden"}, nil},
		"none":     {nil, nil, nil},
	} {
		var exposed []string
		err := conf.Load(conf.Spec{
			Program: "s3storage", EnvPrefix: "RINGSTORE_", Target: defaults(), Environ: c.environ, Output: &bytes.Buffer{}, Exposed: &exposed,
			Args: append(c.args, "--data", "d"),
		})
		require.NoError(t, err, name)
		require.Equal(t, c.want, exposed, name)
	}
}
