package restapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/proto/rest"
)

// A part replaces an earlier one of the same number, whatever their sizes.
func TestPartReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{reclaim: true})
	_, path := r.begin(rest.NewSession{Name: "x"})
	for _, size := range []int{300_000, 10, 70_000, 70_000} {
		r.putPart(path, 1, pattern(size))
		s := r.session(path)
		require.Len(t, s.Parts, 1)
		require.EqualValues(t, size, s.Received)
	}
	data := bytes.Repeat([]byte("last"), 5000)
	r.putPart(path, 1, data)
	r.holds(r.complete(path, nil), data)
}

// A part whose checksum is wrong is not stored, and the earlier one is kept.
func TestPartWrongChecksum(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(50_000)
	_, path := r.begin(rest.NewSession{Name: "x"})
	behind := func(name, value string) reply {
		req := r.request("PUT", path+"/parts/1", struct{ io.Reader }{bytes.NewReader(data)})
		req.Trailer = http.Header{name: {value}}
		return r.do(req)
	}
	check := func() {
		p := refused(t, r.part(path, 1, data, "X-Checksum-Crc64nvme", crcOf(data[1:])), http.StatusBadRequest, rest.CodeCorrupt)
		require.Contains(t, p.Hint, "Send the part again")
		refused(t, behind("X-Checksum-Crc64nvme", crcOf(data[1:])), http.StatusBadRequest, rest.CodeCorrupt)
		refused(t, behind("X-Checksum-Crc64nvme", "???"), http.StatusBadRequest, rest.CodeInvalid)
		refused(t, r.part(path, 1, data, "X-Checksum-Crc64nvme", "AAAA"), http.StatusBadRequest, rest.CodeInvalid)
		// What is not compared must not look as if it were.
		refused(t, r.part(path, 1, data, "X-Checksum-Sha256", shaOf(data)), http.StatusBadRequest, rest.CodeInvalid)
		refused(t, behind("X-Checksum-Sha256", shaOf(data)), http.StatusBadRequest, rest.CodeInvalid)
	}
	check()
	require.Empty(t, r.session(path).Parts)
	old := pattern(10_000)
	r.putPart(path, 1, old)
	before := r.session(path)
	check()
	require.Equal(t, before, r.session(path))
	r.holds(r.complete(path, nil), old)
}

func TestPartInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	for _, number := range []string{"0", "-1", "10001", "x", "1x", "99999999999999999999"} {
		refused(t, r.call("PUT", path+"/parts/"+number, strings.NewReader("x")), http.StatusBadRequest, rest.CodeInvalid)
	}
	refused(t, r.part(path, 1, nil), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("PUT", path+"/parts/1", struct{ io.Reader }{strings.NewReader("")}), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("PUT", path+"/parts/1?offset=1", strings.NewReader("x")), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("PUT", path+"/parts/1?length=1", strings.NewReader("x")), http.StatusBadRequest, rest.CodeInvalid)
	require.Empty(t, r.session(path).Parts)
}

// A part whose length is over the limit is refused before a byte is read; for other
// refusals the rest of the body is not read.
func TestPartTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{maxPart: 100_000})
	_, path := r.begin(rest.NewSession{Name: "x"})
	req := r.request("PUT", path+"/parts/1", unsent{t}, "Expect", "100-continue")
	req.ContentLength = 100_001
	refused(t, r.do(req), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	data := pattern(100_001)
	refused(t, r.part(path, 1, data), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	refused(t, r.call("PUT", path+"/parts/1", struct{ io.Reader }{bytes.NewReader(data)}), http.StatusRequestEntityTooLarge, rest.CodeTooLarge)
	require.Empty(t, r.session(path).Parts)
	r.putPart(path, 1, data[1:])
}

// With Expect: 100-continue, errors are returned before the body is requested.
func TestPartExpect(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	for address, status := range map[string]int{
		path + "/parts/0": http.StatusBadRequest, "/sessions/" + store.NewFileID().String() + "/parts/1": http.StatusNotFound,
	} {
		req := r.request("PUT", address, unsent{t}, "Expect", "100-continue")
		req.ContentLength = 1000
		require.Equal(t, status, r.do(req).status)
	}
	decode[rest.SessionPart](t, r.part(path, 1, pattern(1000), "Expect", "100-continue"), http.StatusOK)
}

// A part whose client disconnects midway is not stored, and the earlier one is kept.
func TestPartClientGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	old := pattern(20_000)
	r.putPart(path, 1, old)
	r.ended("PUT")
	before := r.session(path)
	for _, head := range []string{"Content-Length: 300000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nfffff\r\n"} {
		for _, number := range []int{1, 2} {
			conn := r.dial()
			fmt.Fprintf(conn, "PUT %s/parts/%d HTTP/1.1\r\nHost: x\r\n%s%s", path, number, r.authorization(), head)
			_, err := conn.Write(pattern(150_000))
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			l := r.ended("PUT")
			require.ErrorIs(t, l.attrs["error"].Any().(error), store.Canceled)
			require.Equal(t, before, r.session(path))
		}
	}
	r.holds(r.complete(path, nil), old)
}

func TestPartStalled(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{idle: 100 * time.Millisecond})
	_, path := r.begin(rest.NewSession{Name: "x"})
	conn := r.dial()
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s/parts/1 HTTP/1.1\r\nHost: x\r\n%sContent-Length: 300000\r\n\r\nhello", path, r.authorization())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	p := refused(t, whole(t, resp), http.StatusRequestTimeout, rest.CodeCanceled)
	require.Contains(t, p.Detail, "stalled")
	require.Empty(t, r.session(path).Parts)
}

// A part in flight while its session ends is not stored, and its client gets an error.
func TestPartOfASessionThatEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	for name, end := range map[string]func(path string){
		"aborted":   func(path string) { require.Equal(t, http.StatusNoContent, r.call("DELETE", path, nil).status) },
		"completed": func(path string) { r.holds(r.complete(path, nil), []byte("first")) },
	} {
		_, path := r.begin(rest.NewSession{Name: name})
		r.putPart(path, 1, []byte("first"))
		reader, writer := io.Pipe()
		req := r.request("PUT", path+"/parts/2", reader)
		answered := make(chan reply, 1)
		go func() {
			got, err := r.try(req)
			if err != nil {
				t.Error(err)
			}
			answered <- got
		}()
		_, err := writer.Write(pattern(100_000))
		require.NoError(t, err)
		end(path)
		require.NoError(t, writer.Close())
		gone(t, <-answered)
	}
}

func TestPartOnBadNodes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	_, path := r.begin(rest.NewSession{Name: "x"})
	for _, n := range r.nodes {
		n.SetLimit(0)
	}
	for _, size := range []int{100, 300_000} {
		refused(t, r.part(path, 1, pattern(size)), http.StatusInsufficientStorage, rest.CodeNoSpace)
	}
	for _, n := range r.nodes {
		n.SetHook(mem.Fail(store.Errorf(store.Unavailable, "the node is away"), mem.OpCreate, mem.OpCommit))
	}
	got := r.part(path, 1, pattern(300_000))
	require.Equal(t, http.StatusServiceUnavailable, got.status, "%s", got.body)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Empty(t, r.session(path).Parts)
}

// Bytes of a stored file become parts without passing through the client.
func TestPartCopied(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	data := pattern(2*least + 777)
	source := r.put("source", data).FileID
	_, path := r.begin(rest.NewSession{Name: "x"})
	copyOf := func(number int, query string) reply {
		return r.call("PUT", fmt.Sprintf("%s/parts/%d?source=%s", path, number, query), nil)
	}
	for number, c := range map[int]struct {
		query    string
		from, to int
	}{
		1: {fmt.Sprintf("&offset=0&length=%d", least), 0, least},
		2: {fmt.Sprintf("&offset=%d&length=%d", 1001, least+1), 1001, 1001 + least + 1},
		3: {"", 0, len(data)},
		4: {fmt.Sprintf("&offset=%d", len(data)-1), len(data) - 1, len(data)},
	} {
		p := decode[rest.SessionPart](t, copyOf(number, source+c.query), http.StatusOK)
		require.Equal(t, number, p.Number)
		require.EqualValues(t, c.to-c.from, p.Size)
		require.Equal(t, crcOf(data[c.from:c.to]), p.CRC64NVME)
	}
	r.holds(r.complete(path, nil), bytes.Join([][]byte{data[:least], data[1001 : 1001+least+1], data, data[len(data)-1:]}, nil))
}

func TestPartCopiedInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	source := r.put("source", pattern(1000)).FileID
	under := store.File{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: "under way", Size: -1, State: store.Uploading, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
	require.NoError(t, r.meta.BeginFile(t.Context(), under))
	_, path := r.begin(rest.NewSession{Name: "x"})
	for query, want := range map[string]struct {
		status int
		code   rest.ProblemCode
	}{
		source + "&offset=-1":                      {http.StatusBadRequest, rest.CodeInvalid},
		source + "&length=0":                       {http.StatusBadRequest, rest.CodeInvalid},
		source + "&length=-1":                      {http.StatusBadRequest, rest.CodeInvalid},
		source + "&offset=x":                       {http.StatusBadRequest, rest.CodeInvalid},
		source + "&offset=1000":                    {http.StatusBadRequest, rest.CodeInvalid}, // no bytes
		source + "&offset=1001":                    {http.StatusRequestedRangeNotSatisfiable, rest.CodeOutOfRange},
		source + "&length=1001":                    {http.StatusRequestedRangeNotSatisfiable, rest.CodeOutOfRange},
		source + "&offset=1&length=1000":           {http.StatusRequestedRangeNotSatisfiable, rest.CodeOutOfRange},
		source + "&offset=9223372036854775807":     {http.StatusRequestedRangeNotSatisfiable, rest.CodeOutOfRange},
		source + "&offset=5&length=92233720368547": {http.StatusRequestedRangeNotSatisfiable, rest.CodeOutOfRange},
		store.NewFileID().String():                 {http.StatusNotFound, rest.CodeNotFound},
		"no-uuid":                                  {http.StatusNotFound, rest.CodeNotFound},
		"":                                         {http.StatusNotFound, rest.CodeNotFound},
		under.ID.String():                          {http.StatusConflict, rest.CodeConflict},
	} {
		refused(t, r.call("PUT", path+"/parts/1?source="+query, nil), want.status, want.code)
	}
	address := path + "/parts/1?source=" + source
	refused(t, r.call("PUT", address, strings.NewReader("body")), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("PUT", address, struct{ io.Reader }{strings.NewReader("body")}), http.StatusBadRequest, rest.CodeInvalid)
	refused(t, r.call("PUT", address, nil, "X-Checksum-Crc64nvme", crcOf(pattern(1000))), http.StatusBadRequest, rest.CodeInvalid)
	gone(t, r.call("PUT", "/sessions/"+store.NewFileID().String()+"/parts/1?source="+source, nil))
	require.Empty(t, r.session(path).Parts)
}
