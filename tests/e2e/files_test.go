package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// TestFiles runs the tests without special requirements on one cluster.
func TestFiles(t *testing.T) { overEachPlane(t, testFiles) }

func testFiles(t *testing.T, plane string) {
	t.Parallel()
	c := start(t, plane, cluster.Options{})
	for name, test := range map[string]func(*testing.T, *cluster.Cluster){
		"TestUploadDownload_SmallFile":  testSmallFile,
		"TestUploadDownload_LargeFile":  testLargeFile,
		"TestUploadDownload_MaxSize":    testMaxSize,
		"TestUpload_ExceedsMaxSize":     testExceedsMaxSize,
		"TestUpload_InvalidContentType": testInvalidContentType,
		"TestDownload_NonExistentFile":  testNonExistentFile,
		"TestGetFileMetadata":           testMetadata,
		"TestUploadProgress":            testProgress,
		"TestDeleteFile":                testDelete,
		"TestListFiles":                 testList,
		"TestConcurrentUploads":         testConcurrentUploads,
		"TestConcurrentDownloads":       testConcurrentDownloads,
		"TestMixedOperations":           testMixedOperations,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func testSmallFile(t *testing.T, c *cluster.Cluster) {
	body := noiseBytes(t, 10<<20)
	f := putForm(t, c, "small.bin", bytes.NewReader(body))
	require.Equal(t, "completed", f.Status)
	n, got := sum(t, c, f.ID)
	require.EqualValues(t, len(body), n)
	require.Equal(t, sha256.Sum256(body), got)
}

func testLargeFile(t *testing.T, c *cluster.Cluster) {
	size := int64(200e6)
	if full() {
		size = 5e9
	}
	roundTrip(t, c, "large.bin", size)
}

func testMaxSize(t *testing.T, c *cluster.Cluster) {
	if !full() {
		t.Log("10 GB only with RINGSTORE_E2E_FULL=1; 300 MB now")
		roundTrip(t, c, "max.bin", 300e6)
		return
	}
	roundTrip(t, c, "max.bin", 10<<30)
}

func roundTrip(t *testing.T, c *cluster.Cluster, name string, size int64) {
	h := sha256.New()
	f := putForm(t, c, name, io.TeeReader(noise(size), h))
	n, got := sum(t, c, f.ID)
	require.Equal(t, size, n)
	require.Equal(t, [32]byte(h.Sum(nil)), got)
	on := map[string]bool{}
	for _, chunk := range describe(t, c, f.ID).Parts[0].Chunks {
		on[chunk.Node] = true
	}
	require.Len(t, on, 6, "the chunks are spread over all nodes")
	do(t, request(t, c, http.MethodDelete, "/files/"+f.ID, nil), http.StatusNoContent)
}

func testExceedsMaxSize(t *testing.T, c *cluster.Cluster) {
	// The gateway must refuse by the announced length alone, so the body is empty.
	r := rawPut(t, c, "too-large", io.LimitReader(zeros{}, 11<<30))
	r.ContentLength = 11 << 30
	r.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	require.Empty(t, listed(t, c, "bucket=default&name=too-large").Files)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func testInvalidContentType(t *testing.T, c *cluster.Cluster) {
	for _, kind := range []string{"", "text/plain", "multipart/form-data"} {
		r := request(t, c, http.MethodPost, "/files", bytes.NewReader([]byte("hello")))
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		p := refused(t, r, http.StatusBadRequest)
		require.NotEmpty(t, p.Hint, "content type %q: %s", kind, p.Detail)
	}
}

func testNonExistentFile(t *testing.T, c *cluster.Cluster) {
	for _, id := range []string{"01890000-0000-7000-8000-000000000000", "nonsense"} {
		for _, path := range []string{"/files/" + id, "/files/" + id + "/metadata"} {
			refused(t, request(t, c, http.MethodGet, path, nil), http.StatusNotFound)
		}
		refused(t, request(t, c, http.MethodDelete, "/files/"+id, nil), http.StatusNotFound)
	}
}

func testMetadata(t *testing.T, c *cluster.Cluster) {
	f := put(t, c, "meta.bin", noiseBytes(t, 1<<20))
	m := describe(t, c, f.ID)
	require.Equal(t, [2]any{"meta.bin", int64(1 << 20)}, [2]any{m.Name, m.Size})
	require.Equal(t, 2, m.Survives)
	require.Len(t, m.Parts, 1)
	require.Len(t, m.Parts[0].Chunks, 10)
}

// testProgress polls the status of an upload while its body is paused.
func testProgress(t *testing.T, c *cluster.Cluster) {
	pr, pw := io.Pipe()
	done := make(chan file, 1)
	go func() {
		defer close(done)
		done <- decode[file](t, do(t, rawPut(t, c, "progress.bin", pr), http.StatusCreated))
	}()
	body := noiseBytes(t, 8<<20)
	_, err := pw.Write(body)
	require.NoError(t, err)
	var uploading list
	require.Eventually(t, func() bool {
		uploading = listed(t, c, "status=uploading&bucket=default&name=progress.bin")
		return len(uploading.Files) == 1
	}, 20*time.Second, 20*time.Millisecond)
	id := uploading.Files[0].ID
	require.Equal(t, "uploading", describe(t, c, id).Status)
	require.NoError(t, pw.Close())
	f := <-done
	require.Equal(t, id, f.ID)
	require.Equal(t, "completed", describe(t, c, id).Status)
}

func testDelete(t *testing.T, c *cluster.Cluster) {
	body := noiseBytes(t, 40<<20) // chunks over 4 MiB are separate files, which can be counted
	before := chunkFiles(t, c)
	f := put(t, c, "delete.bin", body)
	require.Equal(t, before+10, chunkFiles(t, c))
	do(t, request(t, c, http.MethodDelete, "/files/"+f.ID, nil), http.StatusNoContent)
	refused(t, request(t, c, http.MethodGet, "/files/"+f.ID, nil), http.StatusNotFound)
	refused(t, request(t, c, http.MethodGet, "/files/"+f.ID+"/metadata", nil), http.StatusNotFound)
	require.Eventually(t, func() bool { return chunkFiles(t, c) <= before }, 30*time.Second, 50*time.Millisecond, "the chunks go from the nodes")
}

// chunkFiles counts the chunk files on all nodes.
func chunkFiles(t *testing.T, c *cluster.Cluster) (n int) {
	for i := range c.Nodes {
		root := filepath.Join(c.Dir, fmt.Sprintf("storage-%d", i+1), "chunks")
		require.NoError(t, filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return nil // a file that was removed meanwhile does not count
		}))
	}
	return n
}

func testList(t *testing.T, c *cluster.Cluster) {
	var names []string
	for i := range 10 {
		name := fmt.Sprintf("list/%02d", i)
		names = append(names, name)
		put(t, c, name, []byte(name))
	}
	var got []string
	for page := 1; ; page++ {
		p := listed(t, c, fmt.Sprintf("bucket=default&sort=created_at&status=completed&per_page=4&page=%d", page))
		for _, f := range p.Files {
			if len(f.Name) > 5 && f.Name[:5] == "list/" {
				got = append(got, f.Name)
			}
		}
		if !p.HasMore {
			break
		}
	}
	require.Empty(t, cmp.Diff(names, got))
	for _, bad := range []string{"page=0", "page=x", "per_page=0", "per_page=100000", "status=nope", "sort=nope"} {
		refused(t, request(t, c, http.MethodGet, "/files?"+bad, nil), http.StatusBadRequest)
	}
}

func testConcurrentUploads(t *testing.T, c *cluster.Cluster) {
	body := noiseBytes(t, 2<<20)
	inParallel(50, func(i int) {
		f := put(t, c, fmt.Sprintf("parallel/%d", i), body)
		n, got := sum(t, c, f.ID)
		require.EqualValues(t, len(body), n)
		require.Equal(t, sha256.Sum256(body), got)
	})
}

func testConcurrentDownloads(t *testing.T, c *cluster.Cluster) {
	body := noiseBytes(t, 4<<20)
	f := put(t, c, "downloads", body)
	want := sha256.Sum256(body)
	inParallel(100, func(int) {
		_, got := sum(t, c, f.ID)
		require.Equal(t, want, got)
	})
}

func testMixedOperations(t *testing.T, c *cluster.Cluster) {
	inParallel(24, func(i int) {
		for round := range 4 {
			body := noiseBytes(t, int64(1000+i*20000+round))
			f := put(t, c, fmt.Sprintf("mixed/%d", i%8), body)
			resp, err := http.DefaultClient.Do(request(t, c, http.MethodGet, "/files/"+f.ID, nil))
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			// Another goroutine may have replaced the file: then it is either not found or read completely.
			if resp.StatusCode == http.StatusOK && err == nil {
				require.True(t, bytes.Equal(body, got))
			} else if err == nil {
				require.Equal(t, http.StatusNotFound, resp.StatusCode)
			}
		}
	})
	page := listed(t, c, "bucket=default&prefix=mixed/&sort=name&per_page=100")
	require.Len(t, page.Files, 8, "each name shows one file")
}

func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
