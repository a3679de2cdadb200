package script_test

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func (s *session) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(s.path(name))
	require.NoError(s.t, err)
	return string(data)
}

// A path that leads to standard output is written to and not replaced.
func TestGet_ToALinkToStandardOutput(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("open files have no names here")
	}
	s := newSession(t)
	s.store("f", "bytes\n")
	require.NoError(t, os.Symlink("/proc/self/fd/1", s.path("out")))
	for _, target := range []string{"out", "/dev/stdout", "/proc/self/fd/1"} {
		out, err := os.OpenFile(s.path("result"), os.O_CREATE|os.O_RDWR, 0o600)
		require.NoError(t, err)
		_, err = out.WriteString("before\n")
		require.NoError(t, err)
		cmd := s.command(t.Context(), "get", "s3://"+s.bucket+"/f", target)
		cmd.Stdout = out
		require.NoError(t, cmd.Run(), target)
		require.NoError(t, out.Close())
		require.Equal(t, "before\nbytes\n", s.read("result"), "%s: behind what was there, and no line of ours", target)
		require.NoError(t, os.Remove(s.path("result")))
	}
	_, err := os.Readlink(s.path("out"))
	require.NoError(t, err, "the link stays one")
	info, err := os.Lstat("/dev/stdout")
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink)

	// The file that standard output is redirected to, under its own name.
	out, err := os.Create(s.path("result"))
	require.NoError(t, err)
	cmd := s.command(t.Context(), "get", "s3://"+s.bucket+"/f", "result")
	cmd.Stdout = out
	require.NoError(t, cmd.Run())
	require.NoError(t, out.Close())
	require.Equal(t, "bytes\n", s.read("result"))
}

// The mode of a replaced file is kept, for secrets and for scripts.
func TestGet_KeepsModes(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.store("k/f", "version 2\n")
	for _, mode := range []os.FileMode{0o600, 0o640, 0o755, 0o700} {
		for _, args := range [][]string{{"sync", "s3://" + s.bucket + "/k", "d"}, {"get", "-r", "s3://" + s.bucket + "/k/", "d"}, {"get", "s3://" + s.bucket + "/k/f", "d/f"}} {
			require.NoError(t, os.RemoveAll(s.path("d")))
			require.NoError(t, os.Mkdir(s.path("d"), 0o700))
			require.NoError(t, os.WriteFile(s.path("d/f"), nil, mode))
			require.NoError(t, os.Chmod(s.path("d/f"), mode))
			require.NoError(t, s.run(0, args...), string(s.stderr))
			require.Equal(t, "version 2\n", s.read("d/f"))
			info, err := os.Stat(s.path("d/f"))
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode(), args)
		}
	}
}

// Some files have bytes although their size is 0.
func TestPut_FilesThatSayTheyAreEmpty(t *testing.T) {
	t.Parallel()
	if info, err := os.Stat("/proc/cpuinfo"); err != nil || info.Size() != 0 {
		t.Skip("there is no such file here")
	}
	s := newSession(t)
	require.NoError(t, s.run(0, "put", "/proc/cpuinfo", "s3://"+s.bucket+"/cpuinfo"), string(s.stderr))
	require.NoError(t, s.run(0, "cat", "s3://"+s.bucket+"/cpuinfo"))
	require.NotEmpty(t, s.stdout)
	require.NoError(t, s.run(0, "sync", "/proc/sys/kernel/random", "s3://"+s.bucket+"/sys", "--include", "uuid"), string(s.stderr))
	require.NoError(t, s.run(0, "cat", "s3://"+s.bucket+"/sys/uuid"))
	require.Len(t, s.stdout, 37)
	s.store("empty", "")
	require.NoError(t, s.run(0, "cat", "s3://"+s.bucket+"/empty"))
	require.Empty(t, s.stdout)
}

// Web consoles create an empty object for a folder.
func TestGet_OfAFolderObject(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, key := range []string{"m/", "/"} {
		query := url.Values{"bucket": {s.bucket}, "name": {key}}.Encode()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/files?"+query, http.NoBody)
		require.NoError(t, err)
		req.SetBasicAuth(server.AccessKey, server.SecretKey)
		req.Header.Set("Content-Type", "text/plain")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusCreated, resp.StatusCode)
	}
	s.store("m/f", "1")
	for dir, args := range map[string][]string{
		"a": {"get", "-r", "s3://" + s.bucket + "/m/", "a"}, "b/m": {"get", "-r", "s3://" + s.bucket + "/m", "b"},
		"c": {"sync", "s3://" + s.bucket + "/m", "c"}, "d/m": {"get", "-r", "s3://" + s.bucket, "d"},
	} {
		require.NoError(t, s.run(0, args...), "%v: %s", args, s.stderr)
		require.Equal(t, "1", s.read(dir+"/f"))
	}
}

// A service has no home folder, and the environment has all settings.
func TestNoHome(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"} {
		delete(s.env, name)
	}
	s.store("f", "hi")
	require.NoError(t, s.random("big", "70000000"))
	b := "s3://" + s.bucket
	for _, args := range [][]string{{"ls"}, {"get", b + "/f", "out"}, {"cat", b + "/f"}, {"sync", b, "d"}, {"put", "big", b + "/big"}, {"get", b + "/big", "again"}, {"rm", b + "/f"}} {
		require.NoError(t, s.run(0, args...), "%v: %s", args, s.stderr)
		if args[0] == "put" {
			require.Contains(t, string(s.stderr), "cannot be resumed if it is interrupted")
		}
	}
	delete(s.env, "RINGSTORE_SECRET_KEY")
	require.NoError(t, s.run(6, "ls"), string(s.stderr))
	require.Contains(t, string(s.stderr), "there is no home folder")
	require.Contains(t, string(s.stderr), "next: set HOME")
}

// An untrusted certificate is refused at once, and accepted if the user trusts its authority.
func TestCertificate_IsFinal(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	secure := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	s.env["RINGSTORE_ENDPOINT"] = secure.URL
	require.NoError(t, os.WriteFile(s.path("f"), []byte("x"), 0o600))
	require.NoError(t, s.run(4, "put", "f", "s3://"+s.bucket+"/f"), string(s.stderr))
	require.NotContains(t, string(s.stderr), "trying again")
	require.Contains(t, string(s.stderr), "SSL_CERT_FILE")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	require.NoError(t, os.WriteFile(s.path("ca.pem"), ca, 0o600))
	s.env["SSL_CERT_FILE"] = s.path("ca.pem")
	require.NoError(t, s.run(0, "put", "f", "s3://"+s.bucket+"/f"), string(s.stderr))
}

// The HTTP library logs unsolicited responses, which must not appear in the progress bar.
func TestLibraryLog_IsNotShown(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go talkative(conn)
		}
	}()
	t.Cleanup(func() { l.Close(); <-served })
	s.env["RINGSTORE_ENDPOINT"] = "http://" + l.Addr().String()
	for range 5 {
		_ = s.run(0, "stat", "s3://bucket/1", "s3://bucket/2", "s3://bucket/3")
		require.NotContains(t, string(s.stderr), "Unsolicited")
		require.Contains(t, string(s.stderr), "does not exist")
	}
}

// talkative answers each request twice.
func talkative(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		const answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
		_, _ = io.WriteString(conn, answer+answer)
	}
}
