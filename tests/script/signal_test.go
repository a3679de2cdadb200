package script_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A standalone server writes the profile that s3ctl uses by default.
func TestLocalProfileOfTheServer(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for name := range s.env {
		if strings.HasPrefix(name, "RINGSTORE_") {
			delete(s.env, name)
		}
	}
	s.env["XDG_CONFIG_HOME"] = filepath.Join(server.Dir, "config")
	require.NoError(t, s.run(0, "ls"), string(s.stderr))
	require.Contains(t, string(s.stdout), "s3://default\n")
	require.NoError(t, s.run(0, "profile", "ls"))
	require.Contains(t, string(s.stdout), "local\t"+server.URL+"\t")
}

// Ctrl-C during a download: the exit code is 130, and no file is left.
func TestInterrupt_Get(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	require.NoError(t, s.random("big", "8000000"))
	require.NoError(t, s.run(0, "put", "-q", "big", "s3://"+s.bucket+"/dir/"), string(s.stderr))
	halfWay := slowProxy(t, s, 1<<20)

	for _, args := range [][]string{{"get", "s3://" + s.bucket + "/dir/big", "out"}, {"get", "-r", "s3://" + s.bucket + "/dir", "into/"}} {
		cmd := s.command(t.Context(), args...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		require.NoError(t, cmd.Start())
		<-halfWay
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		_ = cmd.Wait()
		require.Equal(t, 130, cmd.ProcessState.ExitCode(), errs.String())
		require.Contains(t, errs.String(), "interrupted")
		require.NoError(t, s.tree(".", []string{"big"}))
	}
}

// slowProxy is a proxy between s3ctl and the server that stops in the middle of files and signals the channel each
// time.
func slowProxy(t *testing.T, s *session, after int64) <-chan struct{} {
	t.Helper()
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	halfWay := make(chan struct{}, 10)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.ContentLength > after {
			r.Body = &stalling{ReadCloser: r.Body, left: after, reached: halfWay, done: r.Request.Context().Done()}
		}
		return nil
	}
	proxy.FlushInterval = -1
	proxy.ErrorLog = nil
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	s.env["RINGSTORE_ENDPOINT"] = front.URL
	return halfWay
}

// stalling returns some bytes, and then none until the client disconnects.
type stalling struct {
	io.ReadCloser
	left    int64
	reached chan<- struct{}
	done    <-chan struct{}
}

func (b *stalling) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.reached <- struct{}{}
		<-b.done
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Ctrl-C while standard input is silent: s3ctl ends at once, and nothing becomes visible.
func TestInterrupt_PutFromASilentStream(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	cmd := s.command(t.Context(), "put", "-", "s3://"+s.bucket+"/x")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	// More than all buffers in between: once it is written, the server is reading it.
	_, err = in.Write(make([]byte, 32<<20))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	require.Equal(t, 130, cmd.ProcessState.ExitCode(), errs.String())
	require.NoError(t, s.run(0, "ls", "s3://"+s.bucket))
	require.Empty(t, string(s.stdout))
}
