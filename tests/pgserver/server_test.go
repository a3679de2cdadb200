package pgserver_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/pgserver"
)

// crashEnv makes the test binary start a server, print where, and wait to be killed.
const crashEnv = "PGSERVER_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) == "" {
		os.Exit(m.Run())
	}
	s, err := pgserver.New(context.Background(), pgserver.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.Dir())
	select {}
}

func query(t *testing.T, dsn, sql string) (text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&text))
	return text
}

func exec1(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// The life of one server: both listeners, stop, crash, close.
func TestServer(t *testing.T) {
	t.Parallel()
	s, err := pgserver.New(t.Context(), pgserver.Options{TCP: true, Settings: map[string]string{"application_name": "it's"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })

	for _, dsn := range []string{s.DSN("postgres"), s.TCPDSN("postgres")} {
		require.Equal(t, "off", query(t, dsn, "SHOW fsync"), "the zero Options are for tests")
	}
	require.Equal(t, "127.0.0.1", query(t, s.TCPDSN("postgres"), "SHOW listen_addresses"))
	require.Equal(t, "it's", query(t, s.DSN("postgres"), "SELECT reset_val FROM pg_settings WHERE name = 'application_name'"))
	exec1(t, s.DSN("postgres"), "CREATE TABLE kept AS SELECT 'yes' AS it")

	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "stopping twice is fine")
	_, err = pgx.Connect(t.Context(), s.DSN("postgres"))
	require.Error(t, err)

	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.Start(t.Context()), "starting twice is fine")
	require.Equal(t, "yes", query(t, s.DSN("postgres"), "SELECT it FROM kept"))

	require.NoError(t, s.Kill())
	require.NoError(t, s.Start(t.Context()))
	require.Equal(t, "yes", query(t, s.TCPDSN("postgres"), "SELECT it FROM kept"))

	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is fine")
	require.NoDirExists(t, s.Dir())
}

func TestDurableHasNoTCP(t *testing.T) {
	t.Parallel()
	s, err := pgserver.New(t.Context(), pgserver.Options{Durable: true, TempDir: t.TempDir() + strings.Repeat("/x", 50)})
	require.NoError(t, err, "a parent too long for a socket is skipped")
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.Empty(t, s.TCPDSN("postgres"))
	require.Equal(t, "on", query(t, s.DSN("postgres"), "SHOW fsync"))
	require.Equal(t, "on", query(t, s.DSN("postgres"), "SHOW full_page_writes"))
	require.Empty(t, query(t, s.DSN("postgres"), "SHOW listen_addresses"))
}

func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("", "pgs")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(parent)) })
	require.NoError(t, os.Chmod(parent, 0o755))
	_, err = pgserver.New(t.Context(), pgserver.Options{TempDir: parent, Settings: map[string]string{"wal_level": "nonsense"}})
	require.ErrorContains(t, err, "wal_level", "the server's own words are in the error")
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestCanceledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pgserver.New(ctx, pgserver.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// A killed program cannot clean up; its reaper does.
func TestKilledProgramLeavesNothing(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	dir := strings.TrimSpace(line)
	require.FileExists(t, filepath.Join(dir, "data", "postmaster.pid"))

	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, 30*time.Second, 20*time.Millisecond)
}
