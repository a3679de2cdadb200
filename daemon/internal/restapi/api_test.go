package restapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/restapi"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/proto/rest"
	"github.com/ringstore/ringstore/proto/rest/server"
)

// Every operation of the description needs a key exactly where the description says so.
func TestEveryOperationNeedsAKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	spec, err := server.GetSpec()
	require.NoError(t, err)
	for path, item := range spec.Paths.Map() {
		address := strings.NewReplacer("{file_id}", store.NewFileID().String(), "{bucket}", "default", "{upload_id}", store.NewFileID().String()).Replace(path)
		for method, op := range item.Operations() {
			open := op.Security != nil && len(*op.Security) == 0
			for name, credentials := range map[string]string{
				"none": "", "wrong secret": basic(r.pair.AccessKey, "wrong"), "unknown key": basic("unknown", r.pair.Secret),
				"empty": basic("", ""), "no colon": "Basic eA==", "no base64": "Basic ???", "other scheme": "Bearer x",
			} {
				req := r.request(method, address, strings.NewReader("x"))
				if credentials != "" {
					req.Header.Set("Authorization", credentials)
				}
				resp, err := r.client.Do(req)
				require.NoError(t, err)
				got := whole(t, resp)
				require.NoError(t, resp.Body.Close())
				if open {
					require.Less(t, got.status, 300, "%s %s %s", method, path, name)
					continue
				}
				require.Equal(t, http.StatusUnauthorized, got.status, "%s %s %s", method, path, name)
				require.Contains(t, got.header.Get("WWW-Authenticate"), "Basic")
				if method != "HEAD" {
					refused(t, got, http.StatusUnauthorized, rest.CodeDenied)
				}
			}
		}
	}
	req := r.request("GET", "/nowhere", nil, "Authorization", "Bearer x")
	refused(t, r.do(req), http.StatusUnauthorized, rest.CodeDenied)
}

func basic(key, secret string) string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(key, secret)
	return req.Header.Get("Authorization")
}

func TestListByTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	decode[rest.Bucket](t, r.call("POST", "/buckets", strings.NewReader(`{"name":"other"}`), "Content-Type", "application/json"), http.StatusCreated)
	var ids []string
	for i := range 10 {
		ids = append(ids, r.put(fmt.Sprintf("a/%02d", i), []byte("x")).FileID)
	}
	elsewhere := decode[rest.File](t, r.call("POST", "/files?bucket=other&name=b", strings.NewReader("x"), "Content-Type", "text/plain"), http.StatusCreated)

	list := func(query string) rest.FileList {
		return decode[rest.FileList](t, r.call("GET", "/files?"+query, nil), http.StatusOK)
	}
	names := func(l rest.FileList) (out []string) {
		for _, f := range l.Files {
			out = append(out, f.FileID)
		}
		return out
	}
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	require.Equal(t, append([]string{elsewhere.FileID}, newest...), names(list("")))
	require.Equal(t, newest, names(list("bucket=default&sort=-created_at")))
	require.Equal(t, ids, names(list("bucket=default&sort=created_at&status=completed")))
	require.Equal(t, ids, names(list("prefix=a/&sort=created_at")))
	require.Equal(t, []string{ids[3]}, names(list("name=a/03")))
	require.Empty(t, names(list("status=failed")))
	require.Empty(t, names(list("name=absent")))

	page := list("bucket=default&sort=created_at&per_page=4&page=3")
	require.Equal(t, ids[8:], names(page))
	require.False(t, page.HasMore)
	require.Equal(t, 3, page.Page)
	require.Equal(t, 4, page.PerPage)
	page = list("bucket=default&sort=created_at&per_page=4&page=2")
	require.Equal(t, ids[4:8], names(page))
	require.True(t, page.HasMore)
	require.Empty(t, names(list("page=10&per_page=1000")), "the last page that is reached by its number")

	for sort, want := range map[string][]string{"created_at": ids, "-created_at": newest} {
		var all []string
		query := "bucket=default&per_page=3&sort=" + sort
		page := list(query)
		for all = names(page); page.HasMore; all = append(all, names(page)...) {
			require.NotEmpty(t, page.Next)
			page = list(query + "&cursor=" + page.Next)
		}
		require.Equal(t, want, all)
		require.Empty(t, page.Next)
	}
	p := refused(t, r.call("GET", "/files?page=11&per_page=1000", nil), http.StatusBadRequest, rest.CodeInvalid)
	require.Contains(t, p.Hint, "cursor")
}

func TestListByName(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, name := range []string{"b/2", "a", "b/1", "b/c/3", "é", "d//x"} {
		r.put(name, []byte("x"))
	}
	list := func(query string) (files, prefixes []string, out rest.FileList) {
		out = decode[rest.FileList](t, r.call("GET", "/files?bucket=default&"+query, nil), http.StatusOK)
		for _, f := range out.Files {
			files = append(files, f.Name)
		}
		return files, out.Prefixes, out
	}
	files, prefixes, _ := list("sort=name")
	require.Equal(t, []string{"a", "b/1", "b/2", "b/c/3", "d//x", "é"}, files)
	require.Empty(t, prefixes)
	files, prefixes, _ = list("delimiter=/")
	require.Equal(t, []string{"a", "é"}, files)
	require.Equal(t, []string{"b/", "d/"}, prefixes)
	files, prefixes, _ = list("prefix=b/&delimiter=/")
	require.Equal(t, []string{"b/1", "b/2"}, files)
	require.Equal(t, []string{"b/c/"}, prefixes)
	files, _, _ = list("prefix=")
	require.Len(t, files, 6)
	files, _, _ = list("after=b/2")
	require.Equal(t, []string{"b/c/3", "d//x", "é"}, files)

	var all []string
	query, pages := "delimiter=/&per_page=1", 0
	for next := "start"; next != ""; pages++ {
		files, prefixes, out := list(query)
		all = append(append(all, files...), prefixes...)
		require.Equal(t, out.Next != "", out.HasMore)
		require.Zero(t, out.Page)
		next = out.Next
		query = "delimiter=/&per_page=1&after=" + url.QueryEscape(next)
	}
	require.Equal(t, []string{"a", "b/", "d/", "é"}, all)
	require.Equal(t, 4, pages)
}

func TestListBadParameters(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, query := range []string{
		"page=11&per_page=1000", "cursor=", "cursor=x", "cursor=AAAA", "page=1&cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "bucket=default&delimiter=/&cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "page=0", "page=-1", "page=x", "page=1.5", "page=99999999999999999999", "page=1000001", "per_page=0", "per_page=1001", "per_page=x",
		"page=", "status=complete", "status=", "sort=size", "name=", "name=%00", "bucket=default&prefix=a&page=2", "bucket=default&delimiter=/&status=completed",
		"bucket=default&prefix=a&name=b", "bucket=default&delimiter=/&sort=created_at", "prefix=a", "sort=name", "delimiter=/", "page=1&page=2", "name=%zz",
	} {
		p := refused(t, r.call("GET", "/files?"+query, nil), http.StatusBadRequest, rest.CodeInvalid)
		require.NotEmpty(t, p.Hint, query)
	}
	for _, query := range []string{"bucket=absent", "bucket=absent&prefix=a"} {
		refused(t, r.call("GET", "/files?"+query, nil), http.StatusNotFound, rest.CodeNotFound)
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	send := func(method, path, body string) reply {
		return r.call(method, path, strings.NewReader(body), "Content-Type", "application/json")
	}
	made := send("POST", "/buckets", `{"name":"photos","survive":0}`)
	b := decode[rest.Bucket](t, made, http.StatusCreated)
	require.Equal(t, "/buckets/photos", made.location)
	require.Zero(t, *b.Survive)
	require.WithinDuration(t, time.Now(), b.CreatedAt, time.Hour)
	require.Equal(t, b, decode[rest.Bucket](t, send("GET", "/buckets/photos", ""), http.StatusOK))

	require.Equal(t, 2, *decode[rest.Bucket](t, send("PATCH", "/buckets/photos", `{"survive":2}`), http.StatusOK).Survive)
	require.Equal(t, 2, *decode[rest.Bucket](t, send("PATCH", "/buckets/photos", `{}`), http.StatusOK).Survive)
	require.Nil(t, decode[rest.Bucket](t, send("PATCH", "/buckets/photos", `{"survive":null}`), http.StatusOK).Survive)

	all := decode[rest.BucketList](t, send("GET", "/buckets", ""), http.StatusOK)
	require.Len(t, all.Buckets, 2)
	require.Equal(t, "default", all.Buckets[0].Name)
	require.Nil(t, all.Buckets[0].Survive)

	f := decode[rest.File](t, r.call("POST", "/files?bucket=photos&name=x", strings.NewReader("x"), "Content-Type", "text/plain"), http.StatusCreated)
	refused(t, send("DELETE", "/buckets/photos", ""), http.StatusConflict, rest.CodeConflict)
	b.Survive, b.Usage = nil, rest.Usage{Bytes: 1, Files: 1}
	require.Equal(t, b, decode[rest.Bucket](t, send("GET", "/buckets/photos", ""), http.StatusOK))
	require.Equal(t, b, decode[rest.Bucket](t, send("PATCH", "/buckets/photos", `{}`), http.StatusOK))
	require.Equal(t, []rest.Bucket{all.Buckets[0], b}, decode[rest.BucketList](t, send("GET", "/buckets", ""), http.StatusOK).Buckets)
	require.Equal(t, http.StatusNoContent, send("DELETE", "/files/"+f.FileID, "").status)
	require.Zero(t, decode[rest.Bucket](t, send("GET", "/buckets/photos", ""), http.StatusOK).Usage)
	require.Equal(t, http.StatusNoContent, send("DELETE", "/buckets/photos", "").status)
	for _, method := range []string{"GET", "DELETE", "PATCH"} {
		refused(t, send(method, "/buckets/photos", "{}"), http.StatusNotFound, rest.CodeNotFound)
	}
}

func TestBucketsBadRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for _, body := range []string{
		``, `{`, `[]`, `"x"`, `{}`, `{"name":"A"}`, `{"name":"x"}`, `{"name":7}`, `{"name":"photos","survive":4}`, `{"name":"photos","survive":-1}`,
		`{"name":"photos","survive":1.5}`, `{"name":"photos","other":1}`, `{"name":"photos"} {}`, `{"name":"../../x"}`,
	} {
		p := refused(t, r.call("POST", "/buckets", strings.NewReader(body), "Content-Type", "application/json"), http.StatusBadRequest, rest.CodeInvalid)
		require.NotEmpty(t, p.Hint, body)
	}
	refused(t, r.call("POST", "/buckets", strings.NewReader(`{"name":"photos"}`)), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("POST", "/buckets", strings.NewReader(`{"name":"photos"}`), "Content-Type", "text/plain"), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("POST", "/buckets", strings.NewReader(`{"name":"default"}`), "Content-Type", "application/json"), http.StatusConflict, rest.CodeExists)
	long := `{"name":"` + strings.Repeat("x", 100_000) + `"}`
	refused(t, r.call("POST", "/buckets", strings.NewReader(long), "Content-Type", "application/json"), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	for _, body := range []string{`{"survive":"2"}`, `{"survive":-1}`, `{"survive":4}`, `{"name":"x"}`, ``} {
		refused(t, r.call("PATCH", "/buckets/default", strings.NewReader(body), "Content-Type", "application/json"), http.StatusBadRequest, rest.CodeInvalid)
	}
	require.Len(t, decode[rest.BucketList](t, r.call("GET", "/buckets", nil), http.StatusOK).Buckets, 1)
}

func TestNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	got := decode[rest.NodeList](t, r.call("GET", "/nodes", nil), http.StatusOK)
	require.Len(t, got.Nodes, 6)
	require.EqualValues(t, 6, got.Epoch)
	require.NotEmpty(t, got.ClusterID)
	n := got.Nodes[0]
	require.Equal(t, "node-1", n.Name)
	require.Equal(t, "host-1:1", n.Address)
	require.Equal(t, rest.NodeActive, n.State)
	require.Equal(t, rest.NodeOnline, n.Status)
	require.EqualValues(t, 1<<40, n.Capacity.Free)
	require.WithinDuration(t, time.Now(), n.LastBeat, time.Hour)
}

// Zone and weight of a node can be set, and cleared, one without the other; placement uses them at once.
func TestUpdateNode(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	node := decode[rest.NodeList](t, r.call("GET", "/nodes", nil), http.StatusOK).Nodes[0]
	require.Equal(t, []any{"rack-0", 1, "rack-0", 1}, []any{node.Zone, node.Weight, node.ReportedZone, node.ReportedWeight})
	require.Nil(t, node.DesiredZone)
	require.Nil(t, node.DesiredWeight)
	path := "/nodes/" + node.NodeID
	patch := func(body string) reply {
		return r.call("PATCH", path, strings.NewReader(body), "Content-Type", "application/json")
	}
	for _, c := range []struct {
		body   string
		zone   string
		weight int
	}{
		{`{}`, "rack-0", 1},
		{`{"desired_zone":"rack-7"}`, "rack-7", 1},
		{`{"desired_weight":4}`, "rack-7", 4},
		{`{"desired_zone":""}`, "", 4},
		{`{"desired_zone":null}`, "rack-0", 4},
		{`{"desired_zone":"rack-8","desired_weight":null}`, "rack-8", 1},
	} {
		now := decode[rest.Node](t, patch(c.body), http.StatusOK)
		require.Equal(t, []any{c.zone, c.weight, "rack-0", 1}, []any{now.Zone, now.Weight, now.ReportedZone, now.ReportedWeight}, c.body)
		require.Equal(t, now, decode[rest.NodeList](t, r.call("GET", "/nodes", nil), http.StatusOK).Nodes[0])
	}
	list := decode[rest.NodeList](t, r.call("GET", "/nodes", nil), http.StatusOK)
	require.EqualValues(t, 6+5, list.Epoch)
	require.Equal(t, "rack-8", *list.Nodes[0].DesiredZone)
	require.Nil(t, list.Nodes[0].DesiredWeight)
	f := r.put("a", []byte("a file"))
	m := decode[rest.FileMetadata](t, r.call("GET", "/files/"+f.FileID+"/metadata", nil), http.StatusOK)
	zones := map[string]bool{}
	for _, c := range m.Parts[0].Chunks {
		zones[c.Zone] = true
		if c.NodeID == node.NodeID {
			require.Equal(t, "rack-8", c.Zone)
		}
	}
	require.Len(t, zones, 3)
	events, err := r.meta.EventsAfter(t.Context(), 0, 100)
	require.NoError(t, err)
	last := events.Events[len(events.Events)-1]
	require.Equal(t, []any{store.EventNodeDesired, node.NodeID, r.pair.AccessKey}, []any{last.Kind, last.Subject, last.Caller})

	for _, body := range []string{
		``, `[]`, `{"zone":"x"}`, `{"desired_zone":7}`, `{"desired_weight":"2"}`, `{"desired_weight":1.5}`, `{"desired_weight":0}`,
		`{"desired_weight":1001}`, `{"desired_zone":"` + strings.Repeat("z", 256) + `"}`, `{"desired_zone":"a\u0000"}`,
	} {
		refused(t, patch(body), http.StatusBadRequest, rest.CodeInvalid)
	}
	for _, id := range []string{"nonsense", store.NewNodeID().String()} {
		refused(t, r.call("PATCH", "/nodes/"+id, strings.NewReader(`{}`), "Content-Type", "application/json"), http.StatusNotFound, rest.CodeNotFound)
	}
	id, err := store.ParseNodeID(node.NodeID)
	require.NoError(t, err)
	require.NoError(t, r.meta.SetNodeState(t.Context(), id, store.NodeRemoved, ""))
	refused(t, patch(`{"desired_weight":2}`), http.StatusConflict, rest.CodeConflict)
}

func TestGateways(t *testing.T) {
	t.Parallel()
	meta := mem.NewMetadata()
	for _, set := range []restapi.Upkeep{nil, meta} {
		r := newRig(t, setup{config: func(c *restapi.Config) { c.Upkeep = set }})
		require.JSONEq(t, `{"gateways":[]}`, string(r.call("GET", "/gateways", nil).body))
	}
	r := newRig(t, setup{config: func(c *restapi.Config) { c.Upkeep = meta }})
	require.NoError(t, meta.BeatGateway(t.Context(), "gw-2", "v1"))
	require.NoError(t, meta.BeatGateway(t.Context(), "gw-1", "v2"))
	all := decode[rest.GatewayList](t, r.call("GET", "/gateways", nil), http.StatusOK).Gateways
	require.Len(t, all, 2)
	g := all[0]
	require.Equal(t, []any{"gw-1", "v2", int64(1), int64(1), true}, []any{g.Name, g.Version, g.SchemaMin, g.SchemaMax, g.Live})
	require.WithinDuration(t, time.Now(), g.StartedAt, time.Hour)
	require.Equal(t, http.StatusUnauthorized, r.bare("GET", "/gateways").status)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	health := func(status int) rest.Health {
		t.Helper()
		var h rest.Health
		require.Eventually(t, func() bool {
			got := r.bare("GET", "/health")
			return got.status == status && json.Unmarshal(got.body, &h) == nil
		}, 20*time.Second, 20*time.Millisecond)
		return h
	}
	h := health(http.StatusOK)
	require.Equal(t, rest.Health{
		Status: rest.HealthOK, Metadata: rest.MetadataOK, Nodes: rest.NodeCounts{Total: 6, Online: 6, Writable: 6},
		Survive: rest.SurviveState{Wanted: 2, Now: 2}, Reasons: []string{},
	}, h)
	require.JSONEq(t, `{"status":"live"}`, string(r.bare("GET", "/health/live").body))
	require.JSONEq(t, `{"status":"ready"}`, string(r.bare("GET", "/health/ready").body))

	r.meta.away.Store(true)
	h = health(http.StatusServiceUnavailable)
	require.Equal(t, rest.HealthUnavailable, h.Status)
	require.Equal(t, rest.MetadataUnavailable, h.Metadata)
	p := refused(t, r.bare("GET", "/health/ready"), http.StatusServiceUnavailable, rest.CodeUnavailable)
	require.Equal(t, h.Reasons, p.Reasons)
	require.Equal(t, http.StatusOK, r.bare("GET", "/health/live").status)
	r.meta.away.Store(false)
	health(http.StatusOK)
}

func TestHealthTellsOfAFullMetadataDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	r.meta.full.Store(true)
	h := decode[rest.Health](t, r.bare("GET", "/health"), http.StatusServiceUnavailable)
	require.Equal(t, rest.MetadataUnavailable, h.Metadata)
	require.Contains(t, h.Reasons[0], "has no space")
	p := refused(t, r.bare("GET", "/health/ready"), http.StatusServiceUnavailable, rest.CodeUnavailable)
	require.Equal(t, h.Reasons, p.Reasons)
}

func TestHealthOfAWoundedCluster(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	gone := 0
	for id := range r.nodes {
		if gone++; gone <= 4 {
			r.fleet.Report(id, store.Errorf(store.Unavailable, "away"))
		}
	}
	h := decode[rest.Health](t, r.bare("GET", "/health"), http.StatusOK)
	require.Equal(t, rest.HealthDegraded, h.Status)
	require.Equal(t, rest.NodeCounts{Total: 6, Online: 2, Writable: 2}, h.Nodes)
	require.Len(t, h.Reasons, 2)
	require.Less(t, h.Survive.Now, h.Survive.Wanted)
}

// upkeepOf is an Upkeep with a report of the age.
type upkeepOf struct {
	store.Metadata
	age time.Duration
}

func (u upkeepOf) LoopReport(ctx context.Context) (store.LoopReport, error) {
	r, err := u.Metadata.LoopReport(ctx)
	r.Age = u.age
	return r, err
}

func TestHealthShowsTheUpkeepOfTheCluster(t *testing.T) {
	t.Parallel()
	m := mem.NewMetadata()
	rigOf := func(age time.Duration) *rig {
		return newRig(t, setup{config: func(c *restapi.Config) { c.Upkeep = upkeepOf{m, age} }})
	}
	h := decode[rest.Health](t, rigOf(time.Hour).bare("GET", "/health"), http.StatusOK)
	require.Equal(t, rest.HealthOK, h.Status, "there has been no report yet")
	require.Zero(t, h.Upkeep)

	require.NoError(t, m.SaveLoops(t.Context(), store.LoopReport{Owner: "secret-host", Term: 3, Loops: []store.LoopProgress{
		{Name: "repair", State: "failing", Items: 7, Failures: 1, Idle: 1500 * time.Millisecond, Error: "secret-node does not answer"}, {Name: "expire", State: "busy", Idle: -1},
	}}))
	j, err := m.CreateJob(t.Context(), store.Job{ID: store.NewJobID(), Kind: "drain", Target: "secret-node"})
	require.NoError(t, err)
	got := rigOf(4*time.Second).bare("GET", "/health")
	require.NotContains(t, string(got.body), "secret")
	h = decode[rest.Health](t, got, http.StatusOK)
	idle := float32(1.5)
	require.Equal(t, rest.UpkeepState{
		ReportAge: 4,
		Loops:     []rest.LoopState{{Name: "expire", State: rest.LoopBusy}, {Name: "repair", State: rest.LoopFailing, Items: 7, Failures: 1, LastStep: &idle}},
		Jobs:      []rest.RunningJob{{ID: j.ID.String(), Kind: "drain", State: rest.JobQueued}},
	}, h.Upkeep)
	require.Equal(t, rest.HealthOK, h.Status)

	h = decode[rest.Health](t, rigOf(3*time.Minute).bare("GET", "/health"), http.StatusOK)
	require.Equal(t, rest.HealthDegraded, h.Status)
	require.Contains(t, h.Reasons[0], "background work for 3m0s")
}

func TestHealthWithoutNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{noNodes: true})
	h := decode[rest.Health](t, r.bare("GET", "/health"), http.StatusServiceUnavailable)
	require.Equal(t, rest.HealthUnavailable, h.Status)
	require.Equal(t, -1, h.Survive.Now)
	refused(t, r.bare("GET", "/health/ready"), http.StatusServiceUnavailable, rest.CodeUnavailable)
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	got := r.bare("GET", "/openapi.json")
	require.Equal(t, http.StatusOK, got.status)
	var doc struct {
		OpenAPI string `json:"openapi"`
	}
	require.NoError(t, json.Unmarshal(got.body, &doc))
	require.Equal(t, "3.0.3", doc.OpenAPI)
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	first, second := r.bare("GET", "/health/live").header.Get("X-Request-Id"), r.bare("GET", "/health/live").header.Get("X-Request-Id")
	require.NotEmpty(t, first)
	require.NotEqual(t, first, second)
	for given, kept := range map[string]bool{"abc-123_X.y": true, "a b": false, strings.Repeat("a", 65): false, "a\"b": false} {
		got := r.call("GET", "/health/live", nil, "X-Request-Id", given).header.Get("X-Request-Id")
		require.Equal(t, kept, got == given, given)
		require.NotEmpty(t, got)
	}
}

// No line of the log contains a secret.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	r.put("x", []byte("x"))
	refused(t, r.call("GET", "/files/no-uuid", nil), http.StatusNotFound, rest.CodeNotFound)
	for _, method := range []string{"POST", "GET"} {
		text := fmt.Sprint(r.ended(method).attrs)
		require.NotContains(t, text, r.pair.Secret)
		require.NotContains(t, text, "Basic")
		require.Contains(t, text, "127.0.0.1")
	}
}

// No client text reaches the log as a control character, whatever the log's format.
func TestLogHoldsNoControlCharacters(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	const escape = "%1b%5d0;OWNED%07%0aline%c2%9b31m%e2%80%ae%ff"
	for _, path := range []string{"/files/" + escape, "/files?bucket=" + escape, "/buckets/" + escape, "/" + escape, "/sessions/" + escape + "/parts/" + escape, "/tus/" + escape} {
		r.call("GET", path, nil, "Origin", "http://\u202e")
		r.call("DELETE", path, nil)
		for range 2 {
			l := <-r.lines
			for name, value := range l.attrs {
				text := value.String()
				require.False(t, strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }), "%s: %q", name, text)
				require.True(t, utf8.ValidString(text), "%s: %q", name, text)
			}
		}
	}
}

// bare sends a request without a key.
func (r *rig) bare(method, path string) reply {
	r.t.Helper()
	resp, err := r.client.Do(r.request(method, path, bytes.NewReader(nil)))
	require.NoError(r.t, err)
	defer resp.Body.Close()
	return whole(r.t, resp)
}

// agedChanges are changes that were made so long ago.
type agedChanges struct {
	*mem.Metadata
	age time.Duration
}

func (a agedChanges) ChangesAfter(ctx context.Context, after store.Revision, limit int) (store.ChangePage, error) {
	page, err := a.Metadata.ChangesAfter(ctx, after, limit)
	for i := range page.Changes {
		page.Changes[i].At = page.Changes[i].At.Add(-a.age)
	}
	return page, err
}

func TestHealthShowsHowFarTheMetadataLogIsBehind(t *testing.T) {
	t.Parallel()
	m := mem.NewMetadata()
	look := func(u restapi.Upkeep) (h rest.Health) {
		return decode[rest.Health](t, newRig(t, setup{config: func(c *restapi.Config) { c.Upkeep = u }}).bare("GET", "/health"), http.StatusOK)
	}
	require.Equal(t, rest.MetadataLogState{Complete: true}, look(m).MetadataLog, "nothing was changed yet")
	require.NoError(t, m.UpdateBucket(t.Context(), store.Bucket{Name: store.DefaultBucket, Survive: 1}, ""))
	h := look(agedChanges{m, 7 * time.Second})
	require.False(t, h.MetadataLog.Complete)
	require.InDelta(t, 7, h.MetadataLog.Lag, 5)
	require.Equal(t, rest.HealthOK, h.Status)
	h = look(agedChanges{m, time.Hour})
	require.Equal(t, rest.HealthDegraded, h.Status)
	require.Contains(t, h.Reasons[len(h.Reasons)-1], "1h0m")

	segment := store.LogSegment{
		Log: store.NewLogID(), Number: 1, Term: 1, Kind: store.TailSegment, Last: 1, Part: store.Part{ID: store.NewLogPartID(), Number: 1, Size: 1, K: 1, UnitSize: 1},
	}
	require.NoError(t, m.ChangeLog(t.Context(), store.LogChange{Term: 1, Add: []store.LogSegment{segment}}))
	require.Equal(t, rest.MetadataLogState{Complete: true}, look(m).MetadataLog)
	require.NoError(t, m.Close())
	require.Zero(t, look(m).MetadataLog, "it is not known")
}

func TestHealthShowsTheQueues(t *testing.T) {
	t.Parallel()
	m := mem.NewMetadata()
	look := func() *rest.QueueState {
		r := newRig(t, setup{config: func(c *restapi.Config) { c.Upkeep = m }})
		return decode[rest.Health](t, r.bare("GET", "/health"), http.StatusOK).Queues
	}
	require.Equal(t, &rest.QueueState{}, look())
	repair := func(priority int) store.Task {
		return store.Task{Kind: store.Repair, Chunk: store.ChunkID{Part: store.NewPartID()}, Chunks: store.NewChunkSet(1, 2), Priority: priority}
	}
	reclaim := store.Task{Kind: store.Reclaim, Chunk: store.ChunkID{Part: store.NewPartID()}, Node: store.NewNodeID()}
	require.NoError(t, m.Enqueue(t.Context(), []store.Task{repair(0), repair(1), repair(2), repair(0), reclaim}))
	require.Equal(t, &rest.QueueState{Repairs: 4, Endangered: 2, Reclaims: 1}, look())
	require.NoError(t, m.Close())
	require.Nil(t, look(), "they are not known")
}
