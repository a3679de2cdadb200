package script_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// large is a file that is sent in parts: with four streams, three of 32 MiB.
const large = "100000000"

// holdingProxy is a proxy between s3ctl and the server. It holds the first request that held selects until its client
// disconnects, after at least one part or range was transferred completely, and then signals the channel.
func holdingProxy(t *testing.T, s *session, held func(*http.Request) bool) <-chan struct{} {
	t.Helper()
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	holding := make(chan struct{})
	whole := make(chan struct{})
	var once, through atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if held(r) && once.CompareAndSwap(false, true) {
			go func() {
				<-whole
				close(holding)
			}()
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
		if (r.Method == http.MethodPut || r.Header.Get("Range") != "") && through.CompareAndSwap(false, true) {
			close(whole)
		}
	}))
	t.Cleanup(front.Close)
	s.env["RINGSTORE_ENDPOINT"] = front.URL
	s.env["XDG_STATE_HOME"] = t.TempDir()
	return holding
}

// cutOff runs s3ctl until the proxy holds it, and ends it with the signal.
func cutOff(t *testing.T, s *session, holding <-chan struct{}, sig syscall.Signal, args ...string) (code int, errs string) {
	t.Helper()
	cmd := s.command(t.Context(), args...)
	var text bytes.Buffer
	cmd.Stderr = &text
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	select {
	case <-holding:
		require.NoError(t, cmd.Process.Signal(sig))
		<-ended
	case <-ended:
		t.Fatalf("%v ended before it was held: %s", args, text.String())
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// The same command resumes where the previous run ended, by Ctrl-C or by a kill.
func TestResume_Put(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "kill -9": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t)
			require.NoError(t, s.random("big", large))
			holding := holdingProxy(t, s, func(r *http.Request) bool {
				return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/parts/49") // the third of four spans
			})
			put := []string{"put", "-j", "4", "big", "s3://" + s.bucket + "/big"}
			code, errs := cutOff(t, s, holding, sig, put...)
			if sig == syscall.SIGINT {
				require.Equal(t, 130, code, errs)
				require.Contains(t, errs, "run the same command again to resume")
			}
			require.NoError(t, s.run(0, "ls", "s3://"+s.bucket))
			require.Empty(t, string(s.stdout), "nothing is visible")
			require.NoError(t, s.run(0, "session", "ls", "s3://"+s.bucket))
			require.Contains(t, string(s.stdout), "s3://"+s.bucket+"/big")

			require.NoError(t, s.run(0, put...), string(s.stderr))
			require.Contains(t, string(s.stderr), "resuming")
			require.NoError(t, s.run(0, "session", "ls", "s3://"+s.bucket))
			require.Empty(t, string(s.stdout), "no session is left")
			require.NoError(t, s.run(0, "get", "s3://"+s.bucket+"/big", "back"), string(s.stderr))
			require.NoError(t, s.step([]string{"same", "big", "back"}))
			left, err := filepath.Glob(filepath.Join(s.env["XDG_STATE_HOME"], "ringstore", "uploads", "*"))
			require.NoError(t, err)
			require.Empty(t, left, "nothing is remembered of it")
		})
	}
}

func TestResume_Get(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "kill -9": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t)
			require.NoError(t, s.random("big", large))
			require.NoError(t, s.run(0, "put", "-q", "big", "s3://"+s.bucket+"/big"), string(s.stderr))
			holding := holdingProxy(t, s, func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Range"), "bytes=50331648-") })
			get := []string{"get", "-j", "4", "s3://" + s.bucket + "/big", "back"}
			code, errs := cutOff(t, s, holding, sig, get...)
			if sig == syscall.SIGINT {
				require.Equal(t, 130, code, errs)
				require.Contains(t, errs, "run the same command again to resume")
			}
			require.NoError(t, s.tree(".", []string{".back.part", ".back.part.log", "big"}))
			require.NoError(t, s.run(0, get...), string(s.stderr))
			require.Contains(t, string(s.stderr), "resuming")
			require.NoError(t, s.step([]string{"same", "big", "back"}))
			require.NoError(t, s.tree(".", []string{"back", "big"}))
		})
	}
}

// A replacement of the object on the server is detected, and the new version is fetched.
func TestResume_GetOfAnObjectThatWasReplaced(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	require.NoError(t, s.random("big", large))
	require.NoError(t, s.random("other", large))
	require.NoError(t, s.run(0, "put", "-q", "big", "s3://"+s.bucket+"/big"), string(s.stderr))
	holding := holdingProxy(t, s, func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Range"), "bytes=50331648-") })
	get := []string{"get", "-j", "4", "s3://" + s.bucket + "/big", "back"}
	_, _ = cutOff(t, s, holding, syscall.SIGINT, get...)
	require.NoError(t, s.run(0, "put", "-q", "other", "s3://"+s.bucket+"/big"), string(s.stderr))
	require.NoError(t, s.run(0, get...), string(s.stderr))
	require.Contains(t, string(s.stderr), "was replaced")
	require.NoError(t, s.step([]string{"same", "other", "back"}))
}

// A disk without enough space is detected before a byte is requested, and no file is left. The limit on the file
// size stands for the disk's: the system refuses the space in the same way.
func TestGet_DiskFull(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	require.NoError(t, s.random("big", large))
	require.NoError(t, s.run(0, "put", "-q", "big", "s3://"+s.bucket+"/big"), string(s.stderr))
	cmd := s.command(t.Context(), "get", "s3://"+s.bucket+"/big", "back")
	cmd.Args = append([]string{"sh", "-c", `ulimit -f 20480; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.Error(t, cmd.Run())
	require.Equal(t, 8, cmd.ProcessState.ExitCode(), errs.String())
	require.Contains(t, errs.String(), "next: free some space")
	require.NoError(t, s.tree(".", []string{"big"}))
}
