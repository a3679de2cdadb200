package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/standalone"
	"github.com/ringstore/ringstore/profile"
)

// process is a standalone gateway in the test process.
type process struct {
	t    *testing.T
	out  *lines
	err  *lines
	stop context.CancelFunc
	code chan int
}

// lines collects output and signals when a matching line was written.
type lines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	grown chan struct{}
}

func newLines() *lines { return &lines{grown: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.grown <- struct{}{}:
	default:
	}
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// run starts a process with its own home directory.
func run(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &process{t: t, out: newLines(), err: newLines(), stop: stop, code: make(chan int, 1)}
	go func() {
		p.code <- standalone.Main(ctx, append(args, "--log-format", "text"), strings.NewReader(""), p.out, p.err)
	}()
	t.Cleanup(stop)
	return p
}

// ready waits for the ready line and returns the address of the API.
func (p *process) ready() string {
	p.t.Helper()
	for !strings.Contains(p.out.String(), "ready:") {
		select {
		case <-p.out.grown:
		case code := <-p.code:
			p.t.Fatalf("ended with %d before it was ready:\n%s%s", code, p.out, p.err)
		}
	}
	return regexp.MustCompile(`http://\S+`).FindString(p.out.String())
}

func (p *process) end() int {
	p.stop()
	return <-p.code
}

func home(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
}

func local(t *testing.T) profile.Profile {
	t.Helper()
	set, err := profiles(t).Load()
	require.NoError(t, err)
	return set.Profiles[profile.Local]
}

// profiles is the user's file.
func profiles(t *testing.T) profile.File {
	t.Helper()
	file, err := profile.UserFile()
	require.NoError(t, err)
	return file
}

func call(t *testing.T, p profile.Profile, method, path string, body []byte) (int, []byte) {
	t.Helper()
	status, answer, err := try(p, method, path, "application/octet-stream", body)
	require.NoError(t, err)
	return status, answer
}

// try sends a request; an error is that of the connection.
func try(p profile.Profile, method, path, contentType string, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(context.Background(), method, p.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", contentType)
	r.SetBasicAuth(p.AccessKey, p.Secret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func put(t *testing.T, p profile.Profile, name string, body []byte) (id string) {
	t.Helper()
	status, answer := call(t, p, http.MethodPost, "/files?bucket=default&name="+name, body)
	require.Equal(t, http.StatusCreated, status, "%s", answer)
	var f struct {
		ID string `json:"file_id"`
	}
	require.NoError(t, json.Unmarshal(answer, &f))
	return f.ID
}

func TestSecondStartFindsEverythingAgain(t *testing.T) {
	home(t)
	data := filepath.Join(t.TempDir(), "data")
	p := run(t, "--data", data, "--listen", "127.0.0.1:0")
	require.Equal(t, p.ready(), local(t).Endpoint, "the profile has the address")
	body := bytes.Repeat([]byte("ring"), 300_000)
	id := put(t, local(t), "kept", body)
	require.Zero(t, p.end(), "%s", p.err)

	key := local(t).AccessKey
	require.NoError(t, os.Remove(string(profiles(t))), "a lost profile is written again")
	for _, lost := range []string{"node-2", "node-5"} {
		require.NoError(t, os.RemoveAll(filepath.Join(data, "nodes", lost)))
	}
	p = run(t, "--data", data, "--listen", "127.0.0.1:0")
	p.ready()
	require.Equal(t, key, local(t).AccessKey)
	status, answer := call(t, local(t), http.MethodGet, "/files/"+id, nil)
	require.Equal(t, http.StatusOK, status, "%s", answer)
	require.True(t, bytes.Equal(body, answer), "also after two of six nodes lost their directories")
	put(t, local(t), "new", body)
	require.Zero(t, p.end(), "%s", p.err)
}

func TestSecondProcessOnADirectoryIsRefused(t *testing.T) {
	home(t)
	data := t.TempDir()
	p := run(t, "--data", data, "--listen", "127.0.0.1:0", "--nodes", "1")
	p.ready()
	second := run(t, "--data", data, "--listen", "127.0.0.1:0", "--nodes", "1")
	require.Equal(t, 1, <-second.code)
	require.Contains(t, second.err.String(), "another process is running on "+data)
	require.Contains(t, second.err.String(), "Use or stop the running process")
	status, _ := call(t, local(t), http.MethodGet, "/health/ready", nil)
	require.Equal(t, http.StatusOK, status, "the first one goes on")
	require.Zero(t, p.end())
}

func TestDisksAreNodes(t *testing.T) {
	home(t)
	disks := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	p := run(t, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--disk", disks[0], "--disk", disks[1], "--disk", disks[2])
	p.ready()
	require.Contains(t, p.out.String(), "3 storage nodes")
	put(t, local(t), "file", []byte("hello"))
	require.Zero(t, p.end(), "%s", p.err)
	for _, d := range disks {
		require.FileExists(t, filepath.Join(d, "identity"))
	}
}

func TestWrongSettingsAreUsageErrors(t *testing.T) {
	home(t)
	data := t.TempDir()
	for want, args := range map[string][]string{
		"--data":                       {},
		"--nodes and --disk":           {"--data", data, "--nodes", "3", "--disk", "x"},
		"--nodes must be":              {"--data", data, "--nodes", "65"},
		"--survive 4":                  {"--data", data, "--survive", "4"},
		"--write-memory":               {"--data", data, "--write-memory", "1MiB"},
		"0..1000000":                   {"--data", data, "--max-sessions-per-key", "-1"},
		"go together":                  {"--data", data, "--root-access-key", "RSKEY"},
		"unknown flag":                 {"--data", data, "--frobnicate"},
		"log level \"loud\"":           {"--data", data, "--log-level", "loud"},
		"at least 1 byte":              {"--data", data, "--max-file-size", "0"},
		"--heartbeat must be positive": {"--data", data, "--heartbeat", "0s"},
	} {
		p := run(t, args...)
		require.Equal(t, 2, <-p.code, "%v: %s", args, p.err)
		require.Contains(t, p.err.String(), want)
	}
	entries, err := os.ReadDir(data)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing was changed")
}

func TestPortInUseIsSaid(t *testing.T) {
	home(t)
	first := run(t, "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--nodes", "1")
	address := strings.TrimPrefix(first.ready(), "http://")
	second := run(t, "--data", t.TempDir(), "--listen", address, "--nodes", "1")
	require.Equal(t, 1, <-second.code)
	require.Contains(t, second.err.String(), "--listen "+address)
	require.Contains(t, second.err.String(), "Choose another address")
	require.Zero(t, first.end())
}

// The profile of another server holds a secret that may be stored nowhere else, so it is kept.
func TestTheProfileOfAnotherServerIsLeft(t *testing.T) {
	home(t)
	theirs := profile.Profile{Endpoint: "https://prod.example.com", AccessKey: "RSOTHER", Secret: "not to be lost"}
	require.NoError(t, profiles(t).Save(profile.Local, theirs))
	data := t.TempDir()
	for range 2 { // the second start finds its own profile
		p := run(t, "--data", data, "--listen", "127.0.0.1:0", "--nodes", "1", "--survive", "0")
		endpoint := p.ready()
		require.Equal(t, theirs, local(t))
		set, err := profiles(t).Load()
		require.NoError(t, err)
		require.Len(t, set.Profiles, 2)
		for name, own := range set.Profiles {
			if name == profile.Local {
				continue
			}
			require.Equal(t, endpoint, own.Endpoint)
			require.Contains(t, p.out.String(), "s3ctl --profile "+name+" ls")
			status, _ := call(t, own, http.MethodGet, "/buckets", nil)
			require.Equal(t, http.StatusOK, status)
		}
		require.Contains(t, p.out.String(), "belongs to another server")
		require.Equal(t, 0, p.end())
	}
}
