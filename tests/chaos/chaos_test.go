package chaos

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/tests/cluster"
)

// Environment variables that `make chaos` and the related targets set.
const (
	envBin     = "RINGSTORE_CHAOS_BIN"     // absolute path of the programs to test; by default they are built
	envSeconds = "RINGSTORE_CHAOS_SECONDS" // how long the storm lasts
	envCommits = "RINGSTORE_CHAOS_COMMITS" // changes during slow commits of 10 to 40 s; 0: a few of 19 s
	envGets    = "RINGSTORE_CHAOS_GETS"    // downloads whose object is changed meanwhile
	envSize    = "RINGSTORE_CHAOS_MIB"     // of the file, in MiB
	envKills   = "RINGSTORE_CHAOS_KILLS"   // of client, gateway and node, each
	envSeed    = "RINGSTORE_CHAOS_SEED"    // of the random choices; every run logs its seed
)

// parallel is how many parts are sent concurrently.
const parallel = 4

// partSize is the part size that s3ctl chooses: one part for each stream, of 32 to 128 MiB.
func partSize(size int64) int64 { return min(max(size/parallel, 32<<20), 128<<20) }

var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if bin = os.Getenv(envBin); bin != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ringstore-chaos-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		bin = dir
		err = cluster.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// keepReplaced returns the flags that set how long the chunks of deleted and replaced files are kept, if the program has them.
func keepReplaced(t *testing.T, program string, d time.Duration) []string {
	t.Helper()
	flags, err := cluster.KeepReplaced(t.Context(), bin, program, d)
	require.NoError(t, err)
	return flags
}

// drill is one transfer during which processes are killed.
type drill struct {
	t     *testing.T
	c     *cluster.Cluster
	proxy *Proxy
	rng   *rand.Rand
	dir   string
	size  int64
	kills int
}

// TestKills uploads a file and downloads it again, while client, gateway and nodes are killed.
func TestKills(t *testing.T) {
	t.Parallel()
	seed := setting(t, envSeed, int(rand.Uint32()))
	t.Logf("%s=%d", envSeed, seed)
	d := &drill{
		t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(uint64(seed), 0)),
		size: int64(setting(t, envSize, 512)) << 20, kills: setting(t, envKills, 3),
	}
	require.NoError(t, os.Mkdir(filepath.Join(d.dir, "cluster"), 0o700))
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: filepath.Join(d.dir, "cluster"), Bin: bin})
	require.NoError(t, err)
	d.c = c
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range append([]*cluster.Process{c.Gateway}, c.Nodes...) {
				t.Logf("%s:\n%s", p.Name, p.Tail(15))
			}
		}
		require.NoError(t, c.Close())
	})
	d.proxy, err = NewProxy(strings.TrimPrefix(c.URL, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.proxy.Close() })

	source := filepath.Join(d.dir, "source")
	want := writeNoise(t, source, d.size, uint64(seed))
	d.transfer("upload", "put", source, "s3://default/file")
	require.NoError(t, os.Remove(source))
	target := filepath.Join(d.dir, "target")
	d.transfer("download", "get", "s3://default/file", target)
	require.Equal(t, want, sumOf(t, target), "what came back differs")
	left, err := filepath.Glob(filepath.Join(d.dir, "*part*"))
	require.NoError(t, err)
	require.Empty(t, left, "nothing of the download is left behind")
	d.nothingOpen()
}

// transfer runs s3ctl until it succeeds, again after each time it was killed, and kills it, the gateway and nodes
// at random moments.
func (d *drill) transfer(name string, args ...string) {
	up, down := d.proxy.Counts()
	log := filepath.Join(d.dir, name+".log")
	s3ctl := d.c.Command(name, filepath.Join(bin, "s3ctl"), append([]string{"--parallel", strconv.Itoa(parallel)}, args...),
		"RINGSTORE_ENDPOINT=http://"+d.proxy.Address, "XDG_STATE_HOME="+filepath.Join(d.dir, "state"))
	require.NoError(d.t, s3ctl.Start())
	defer func() {
		if d.t.Failed() {
			d.t.Logf("%s:\n%s", log, s3ctl.Tail(60))
		}
	}()
	moments, clientKills := d.moments(), 0
	for i, m := range moments {
		passed := d.proxy.Passed(m.after)
		select {
		case <-passed:
		case <-s3ctl.Ended():
		case <-d.t.Context().Done():
			d.t.Fatal(d.t.Context().Err())
		}
		if !s3ctl.Running() {
			require.NoError(d.t, s3ctl.Err(), "%s ended by itself\n%s", name, s3ctl.Tail(20))
			d.t.Logf("%s was through after %d of %d kills", name, i, len(moments))
			break
		}
		victim := d.victim(m.who, s3ctl)
		d.t.Logf("%s: kill -9 %s", name, victim.Name)
		require.NoError(d.t, victim.Kill())
		require.NoError(d.t, victim.Start())
		if m.who == theClient {
			clientKills++
		}
	}
	<-s3ctl.Ended()
	require.NoError(d.t, s3ctl.Err(), "%s\n%s", name, s3ctl.Tail(20))
	d.account(name, up, down, len(moments))
}

// account compares the bytes that were transferred with those that were necessary.
func (d *drill) account(name string, up, down int64, kills int) {
	nowUp, nowDown := d.proxy.Counts()
	moved := max(nowUp-up, nowDown-down)
	again := moved - d.size
	// One part for each stream and kill, and one percent for headers.
	allowed := int64(kills)*parallel*partSize(d.size) + d.size/100
	d.t.Logf("%s: %d MiB moved for %d MiB: %d MiB again over %d kills, %.2f parts a kill and stream",
		name, moved>>20, d.size>>20, again>>20, kills, float64(again)/float64(kills)/parallel/float64(partSize(d.size)))
	require.LessOrEqual(d.t, again, allowed, "%s moved too much again", name)
}

type who int

const (
	theClient who = iota
	theGateway
	aNode
)

type moment struct {
	who   who
	after int64 // bytes since the previous kill
}

// moments distributes the kills over the transfer, in random order and at random distances.
func (d *drill) moments() []moment {
	var m []moment
	for range d.kills {
		m = append(m, moment{who: theClient}, moment{who: theGateway}, moment{who: aNode})
	}
	d.rng.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
	// At most twice the average, and in total a little less than the file.
	average := d.size * 9 / 10 / int64(len(m))
	for i := range m {
		m[i].after = average/2 + d.rng.Int64N(average)
	}
	return m
}

func (d *drill) victim(w who, s3ctl *cluster.Process) *cluster.Process {
	switch w {
	case theGateway:
		return d.c.Gateway
	case aNode:
		return d.c.Nodes[d.rng.IntN(len(d.c.Nodes))]
	default:
		return s3ctl
	}
}

// nothingOpen checks that no session remains.
func (d *drill) nothingOpen() {
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	require.NoError(d.t, d.c.WaitReady(ctx, len(d.c.Nodes)))
	c := client.New(client.Config{Profile: profile.Profile{Endpoint: d.c.URL, AccessKey: d.c.AccessKey, Secret: d.c.SecretKey}})
	defer c.Close()
	for s, err := range c.Sessions(ctx, "", "") {
		require.NoError(d.t, err)
		d.t.Errorf("session %s of %s/%s was left behind", s.SessionID, s.Bucket, s.Name)
	}
}

func writeNoise(t *testing.T, path string, size int64, seed uint64) [32]byte {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	var key [32]byte
	copy(key[:], fmt.Sprint(seed))
	_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, io.LimitReader(rand.NewChaCha8(key), size), make([]byte, 1<<20))
	require.NoError(t, err)
	return [32]byte(h.Sum(nil))
}

func sumOf(t *testing.T, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	require.NoError(t, err)
	return [32]byte(h.Sum(nil))
}

// The proxy counts both directions, and closes connections that its gateway closes.
func TestProxy(t *testing.T) {
	t.Parallel()
	echo, err := NewProxy("127.0.0.1:1") // nothing listens there
	require.NoError(t, err)
	client := dial(t, echo.Address)
	_, err = client.Read(make([]byte, 1))
	require.Error(t, err, "a gateway that is away")
	require.NoError(t, echo.Close())

	server := listen(t)
	p, err := NewProxy(server.Addr().String())
	require.NoError(t, err)
	defer p.Close()
	passed := p.Passed(8)
	client = dial(t, p.Address)
	_, err = client.Write([]byte("hello"))
	require.NoError(t, err)
	conn, err := server.Accept()
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	_, err = conn.Write([]byte("abc"))
	require.NoError(t, err)
	<-passed
	require.NoError(t, conn.Close())
	all, err := io.ReadAll(client)
	require.NoError(t, err)
	require.True(t, bytes.Equal(all, []byte("abc")))
	up, down := p.Counts()
	require.Equal(t, [2]int64{5, 3}, [2]int64{up, down})
}
