package restapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/access"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/restapi"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
	"github.com/ringstore/ringstore/proto/rest"
	"github.com/ringstore/ringstore/proto/rest/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Small sizes, so that little data makes many stripes.
const (
	unit    = 4 << 10
	maxFile = 4 << 20
)

// setup holds what a test configures differently from the default.
type setup struct {
	nodes   int // 0: six
	noNodes bool
	unit    int
	maxFile int64
	maxPart int64         // 0: 5 GiB
	ttl     time.Duration // of sessions; 0: 7 days
	idle    time.Duration
	gate    func(http.Handler) http.Handler
	quick   bool                          // no check of answers against the description
	silent  bool                          // no log
	log     *slog.Logger                  // of all parts, instead of rig.lines
	wire    func(*mem.Chunks) chunk.Store // between the engine and each node; nil: none
	config  func(*restapi.Config)
	reclaim bool // chunks of replaced files are deleted, as upkeep would
	engine  func(*engine.Config)
}

// rig is a gateway's REST API on a real port, over an engine in memory.
type rig struct {
	t      testing.TB
	meta   *metadata
	fleet  *cluster.Fleet
	engine *engine.Engine
	nodes  map[store.NodeID]*mem.Chunks
	pair   access.KeyPair
	addr   string
	client *http.Client
	lines  chan line // one for each request that ended
}

func newRig(t testing.TB, s setup) *rig {
	t.Helper()
	r := &rig{t: t, meta: &metadata{Metadata: mem.NewMetadata()}, nodes: map[store.NodeID]*mem.Chunks{}, lines: make(chan line, 10_000)}
	log := slog.New(&recorder{lines: r.lines})
	if s.silent {
		log = slog.New(slog.DiscardHandler)
	}
	engineLog := slog.New(slog.DiscardHandler)
	if s.log != nil {
		log, engineLog = s.log, s.log
	}
	if s.nodes == 0 && !s.noNodes {
		s.nodes = 6
	}
	if s.unit == 0 {
		s.unit = unit
	}
	if s.maxFile == 0 {
		s.maxFile = maxFile
	}
	r.fleet = cluster.NewFleet(cluster.Config{
		Meta: r.meta, Heartbeat: time.Hour, Log: slog.New(slog.DiscardHandler),
		Connect: func(n store.Node) (chunk.Store, io.Closer, error) { return r.connect(n.ID, s.wire), nil, nil },
	})
	for i := range s.nodes {
		id := store.NewNodeID()
		r.nodes[id] = mem.NewChunks()
		_, err := r.meta.JoinNode(t.Context(), store.Node{
			ID: id, Name: fmt.Sprintf("node-%d", i+1), Address: fmt.Sprintf("host-%d:1", i+1), Zone: fmt.Sprintf("rack-%d", i%3), Weight: 1,
			Capacity: store.Capacity{Total: 1 << 40, Free: 1 << 40}, Version: "test",
		})
		require.NoError(t, err)
	}
	require.NoError(t, r.fleet.Refresh(t.Context()))
	reclaim := func() {}
	if s.reclaim {
		reclaim = r.reclaim
	}
	cfg := engine.Config{
		WakeReclaim: reclaim, Meta: r.meta, Fleet: r.fleet, Log: engineLog, Survive: min(2, max(0, s.nodes-1)),
		MaxFileSize: s.maxFile, UnitSize: s.unit, MaxPartSize: s.maxPart, SessionTTL: s.ttl,
		LateFloor: time.Minute, // a loaded machine makes no chunk late
	}
	if s.engine != nil {
		s.engine(&cfg)
	}
	r.engine = engine.New(cfg)
	r.serve(s, log)
	return r
}

func (r *rig) connect(id store.NodeID, wire func(*mem.Chunks) chunk.Store) chunk.Store {
	if wire == nil {
		return r.nodes[id]
	}
	return wire(r.nodes[id])
}

// reclaim deletes the chunks on the queue.
func (r *rig) reclaim() {
	ctx := context.Background()
	tasks, err := r.meta.Claim(ctx, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: store.MaxListLimit, Hold: time.Hour})
	for _, task := range tasks {
		err = errors.Join(err, r.nodes[task.Node].Delete(ctx, task.Chunk))
	}
	if err = errors.Join(err, r.meta.Finish(ctx, tasks)); err != nil {
		r.t.Errorf("reclaim: %v", err)
	}
}

func (r *rig) serve(s setup, log *slog.Logger) {
	r.t.Helper()
	master, err := access.NewMasterKey(make([]byte, access.MasterKeySize))
	require.NoError(r.t, err)
	r.pair, _, err = access.EnsureRoot(r.t.Context(), r.meta, master, access.KeyPair{})
	require.NoError(r.t, err)
	config := restapi.Config{
		Engine: r.engine, Auth: access.NewAuthenticator(access.Config{Credentials: r.meta, Master: master}),
		Nodes: r.fleet, Log: log, MaxFileSize: s.maxFile, Idle: s.idle,
	}
	if s.config != nil {
		s.config(&config)
	}
	handler := restapi.New(config)
	if s.gate != nil {
		handler = s.gate(handler)
	}
	srv := httpedge.NewServer(handler, httpedge.Problems{}, slog.New(slog.DiscardHandler))
	var lc net.ListenConfig
	l, err := lc.Listen(r.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	r.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 64, ExpectContinueTimeout: 10 * time.Second}
	r.client = &http.Client{Transport: transport}
	if !s.quick {
		r.client.Transport = newConforming(r.t, transport)
	}
	r.t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			r.t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			r.t.Errorf("serve: %v", err)
		}
		r.engine.Close()
		if used, _ := r.engine.WriteMemory(); used != 0 {
			r.t.Errorf("%d bytes of stripes were never given back", used)
		}
		if err := r.fleet.Close(); err != nil {
			r.t.Errorf("fleet: %v", err)
		}
	})
}

// metadata can be made unavailable or faulty.
type metadata struct {
	store.Metadata
	away   atomic.Bool
	full   atomic.Bool // the store answers, and takes no writes
	panics atomic.Bool

	noComplete atomic.Bool // sessions cannot be completed
}

func (m *metadata) CompleteSession(ctx context.Context, c store.Completion) (store.File, store.FileID, error) {
	if m.noComplete.Load() {
		return store.File{}, store.FileID{}, store.Errorf(store.Unavailable, "connection to the database refused")
	}
	return m.Metadata.CompleteSession(ctx, c)
}

func (m *metadata) reach() error {
	if m.panics.Load() {
		panic("boom")
	}
	if m.away.Load() {
		return store.Errorf(store.Unavailable, "connection to the database refused")
	}
	return nil
}

func (m *metadata) Ping(ctx context.Context) error {
	if err := m.reach(); err != nil {
		return err
	}
	if m.full.Load() {
		return store.Errorf(store.NoSpace, "no space left on the volume of the database")
	}
	return m.Metadata.Ping(ctx)
}

func (m *metadata) Credential(ctx context.Context, key string) (store.Credential, error) {
	if err := m.reach(); err != nil {
		return store.Credential{}, err
	}
	return m.Metadata.Credential(ctx, key)
}

func (m *metadata) CommitFile(ctx context.Context, c store.Commit) (store.File, store.FileID, error) {
	if err := m.reach(); err != nil {
		return store.File{}, store.FileID{}, err
	}
	return m.Metadata.CommitFile(ctx, c)
}

func (m *metadata) File(ctx context.Context, id store.FileID) (store.File, error) {
	if err := m.reach(); err != nil {
		return store.File{}, err
	}
	return m.Metadata.File(ctx, id)
}

func (m *metadata) CreateSession(ctx context.Context, s store.Session, ttl time.Duration, limits store.SessionLimits) (store.Session, error) {
	if err := m.reach(); err != nil {
		return store.Session{}, err
	}
	return m.Metadata.CreateSession(ctx, s, ttl, limits)
}

func (m *metadata) Session(ctx context.Context, id store.FileID) (store.Session, error) {
	if err := m.reach(); err != nil {
		return store.Session{}, err
	}
	return m.Metadata.Session(ctx, id)
}

func (m *metadata) ListSessions(ctx context.Context, q store.SessionQuery) (store.SessionPage, error) {
	if err := m.reach(); err != nil {
		return store.SessionPage{}, err
	}
	return m.Metadata.ListSessions(ctx, q)
}

func (m *metadata) SavePart(ctx context.Context, c store.SessionChange, p store.Part, ttl time.Duration) error {
	if err := m.reach(); err != nil {
		return err
	}
	return m.Metadata.SavePart(ctx, c, p, ttl)
}

func (m *metadata) AbortSession(ctx context.Context, c store.SessionChange) error {
	if err := m.reach(); err != nil {
		return err
	}
	return m.Metadata.AbortSession(ctx, c)
}

func (m *metadata) ListBuckets(ctx context.Context) ([]store.Bucket, error) {
	if err := m.reach(); err != nil {
		return nil, err
	}
	return m.Metadata.ListBuckets(ctx)
}

func (m *metadata) ListFiles(ctx context.Context, q store.FileQuery) (store.FilePage, error) {
	if err := m.reach(); err != nil {
		return store.FilePage{}, err
	}
	return m.Metadata.ListFiles(ctx, q)
}

func (m *metadata) ListObjects(ctx context.Context, q store.ObjectQuery) (store.ObjectPage, error) {
	if err := m.reach(); err != nil {
		return store.ObjectPage{}, err
	}
	return m.Metadata.ListObjects(ctx, q)
}

// line is a request's line in the access log.
type line struct {
	message string
	level   slog.Level
	attrs   map[string]slog.Value
}

// recorder is a slog.Handler that passes the access log to the test.
type recorder struct{ lines chan line }

func (*recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler     { return r }
func (r *recorder) WithGroup(string) slog.Handler          { return r }

func (r *recorder) Handle(ctx context.Context, rec slog.Record) error {
	l := line{message: rec.Message, level: rec.Level, attrs: map[string]slog.Value{"request": slog.StringValue(telemetry.Request(ctx))}}
	rec.Attrs(func(a slog.Attr) bool {
		l.attrs[a.Key] = a.Value
		return true
	})
	r.lines <- l
	return nil
}

// ended waits for the log line of a request that the test sent by hand.
func (r *rig) ended(method string) line {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case l := <-r.lines:
			if l.message == "request" && l.attrs["method"].String() == method {
				return l
			}
		case <-limit:
			require.FailNow(r.t, "no request ended")
		}
	}
}

// failed waits for the log line of a request that failed.
func (r *rig) failed(method string) line {
	r.t.Helper()
	for {
		if l := r.ended(method); l.attrs["error"].Any() != nil {
			return l
		}
	}
}

// conforming checks every answer against proto/rest/openapi.yaml.
type conforming struct {
	t      testing.TB
	next   http.RoundTripper
	router routers.Router
}

func newConforming(t testing.TB, next http.RoundTripper) *conforming {
	t.Helper()
	spec, err := server.GetSpec()
	require.NoError(t, err)
	router, err := legacy.NewRouter(spec)
	require.NoError(t, err)
	return &conforming{t: t, next: next, router: router}
}

func (c *conforming) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		return resp, nil // an address or method that the description does not have
	}
	document := resp.Header.Get("Content-Type") != "" && (resp.StatusCode >= 400 || req.Method != http.MethodGet || resp.Header.Get("Accept-Ranges") == "")
	var body []byte
	if document {
		if body, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	err = openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: !document || req.Method == http.MethodHead},
	})
	if err != nil {
		c.t.Errorf("%s %s: the answer is not what the description says: %v", req.Method, req.URL, err)
	}
	return resp, nil
}

// reply is an answer, read whole.
type reply struct {
	status   int
	header   http.Header
	body     []byte
	location string // path that the Location header leads to; "" without one
}

// replyOf reads a response.
func replyOf(resp *http.Response, body []byte) reply {
	out := reply{status: resp.StatusCode, header: resp.Header, body: body}
	if at, err := resp.Location(); err == nil {
		out.location = at.Path
	}
	return out
}

// do sends a request with the access key.
func (r *rig) do(req *http.Request) reply {
	r.t.Helper()
	got, err := r.try(req)
	require.NoError(r.t, err)
	return got
}

// try is do for goroutines, which may not end the test.
func (r *rig) try(req *http.Request) (reply, error) {
	if req.Header.Get("Authorization") == "" {
		req.SetBasicAuth(r.pair.AccessKey, r.pair.Secret)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return replyOf(resp, body), err
}

// request makes a request to a path, with headers in pairs.
func (r *rig) request(method, path string, body io.Reader, headers ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.addr+path, body)
	require.NoError(r.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

func (r *rig) call(method, path string, body io.Reader, headers ...string) reply {
	r.t.Helper()
	return r.do(r.request(method, path, body, headers...))
}

// put uploads by raw body.
func (r *rig) put(name string, data []byte, headers ...string) rest.File {
	r.t.Helper()
	got := r.call("POST", "/files?name="+url.QueryEscape(name), bytes.NewReader(data), append([]string{"Content-Type", "text/plain"}, headers...)...)
	return decode[rest.File](r.t, got, http.StatusCreated)
}

func decode[T any](t testing.TB, got reply, status int) (v T) {
	t.Helper()
	require.Equal(t, status, got.status, "%s", got.body)
	require.NoError(t, json.Unmarshal(got.body, &v), "%s", got.body)
	return v
}

// refused requires a problem document with a cause and a next step.
func refused(t testing.TB, got reply, status int, code rest.ProblemCode) rest.Problem {
	t.Helper()
	p := decode[rest.Problem](t, got, status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	require.Equal(t, code, p.Code, "%s", got.body)
	require.Equal(t, status, p.Status)
	require.Equal(t, "urn:ringstore:problem:"+string(code), p.Type)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	require.NotEmpty(t, p.Hint)
	require.Equal(t, "urn:ringstore:request:"+got.header.Get("X-Request-Id"), p.Instance)
	return p
}

// empty requires that no file is visible.
func (r *rig) empty() {
	r.t.Helper()
	all := decode[rest.FileList](r.t, r.call("GET", "/files", nil), http.StatusOK)
	require.Empty(r.t, all.Files)
}

// field is one field of a form; filename makes it a file.
type field struct{ name, value, filename, contentType string }

// makeForm returns a form and its Content-Type.
func makeForm(t testing.TB, fields ...field) ([]byte, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, f.name)}}
		if f.filename != "" {
			h["Content-Disposition"] = []string{fmt.Sprintf(`form-data; name="%s"; filename="%s"`, f.name, f.filename)}
		}
		if f.contentType != "" {
			h.Set("Content-Type", f.contentType)
		}
		part, err := w.CreatePart(h)
		require.NoError(t, err)
		_, err = io.WriteString(part, f.value)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes(), w.FormDataContentType()
}

// pattern returns data without repetition.
func pattern(n int) []byte {
	data := make([]byte, n)
	x := uint32(2463534242)
	for i := range data {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		data[i] = byte(x)
	}
	return data
}
