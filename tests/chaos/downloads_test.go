package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// downloads is a standalone server whose objects change while they are read.
type downloads struct {
	t   *testing.T
	api *api
	w   *workload
}

func newDownloads(t *testing.T) *downloads {
	c, err := cluster.Start(t.Context(), cluster.Options{
		Dir: keptDir(t), Bin: bin, Standalone: true, Gateway: keepReplaced(t, "s3gateway standalone", time.Minute),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	a := newAPI(c.URL, c.AccessKey, c.SecretKey, 2*time.Minute)
	t.Cleanup(a.close)
	return &downloads{t: t, api: a, w: newWorkload(newHistory(time.Minute, time.Now()), []*api{a}, 0)}
}

// TestDownloadsEndWhole changes objects during their download, which must end with the complete version.
func TestDownloadsEndWhole(t *testing.T) {
	t.Parallel()
	d := newDownloads(t)
	count := setting(t, envGets, 30)
	var mu sync.Mutex
	var failed []error
	work := make(chan int)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for i := range work {
				if err := d.changed(t.Context(), i); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range count {
		work <- i
	}
	close(work)
	wg.Wait()
	for _, err := range failed[:min(len(failed), 10)] {
		t.Error(err)
	}
	require.Empty(t, len(failed), "of %d downloads", count)
}

// A file of many parts, each of which is looked up in turn, larger than all socket buffers in between.
const (
	downloadParts = 24
	downloadPart  = 1 << 20
)

// changed downloads an object slowly, and changes it after the first part has arrived.
func (d *downloads) changed(ctx context.Context, i int) error {
	how := []string{"overwritten", "renamed", "deleted"}[i%3]
	key := fmt.Sprintf("%s-%d", how, i)
	id, v, err := d.upload(ctx, key)
	if err != nil {
		return err
	}
	resp, err := d.api.send(ctx, http.MethodGet, "/files/"+id, nil, nil, nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	slow := &slowReader{r: resp.Body, stop: downloadPart, then: func() error { return d.change(ctx, how, key, id) }}
	got, err := compare(slow, resp.ContentLength, d.w.h.size)
	if err == nil && got != v {
		err = fmt.Errorf("it is %v instead of %v", got, v)
	}
	if err != nil {
		return fmt.Errorf("an object that was %s in the middle of its download, after %d bytes: %w", how, slow.at, err)
	}
	return nil
}

func (d *downloads) upload(ctx context.Context, key string) (string, version, error) {
	v := d.w.newVersion(downloadParts * downloadPart)
	var s fileInfo
	if err := d.api.json(ctx, http.MethodPost, "/sessions", nil, map[string]any{"bucket": bucket, "name": key}, &s); err != nil {
		return "", v, err
	}
	rng := rand.New(rand.NewPCG(0, 0))
	for i := range int64(downloadParts) {
		if !d.w.part(ctx, rng, key, s.SessionID, int(i)+1, v, i*downloadPart, (i+1)*downloadPart) {
			return "", v, errors.New("a part was not taken")
		}
	}
	err := d.api.json(ctx, http.MethodPost, "/sessions/"+s.SessionID+"/complete", nil, map[string]any{}, nil)
	return s.SessionID, v, err
}

func (d *downloads) change(ctx context.Context, how, key, id string) error {
	switch how {
	case "overwritten":
		_, err := d.api.put(ctx, bucket, key, d.w.newVersion(smallest), smallest)
		return err
	case "renamed":
		return d.api.rename(ctx, id, bucket, key+"-moved")
	default:
		return d.api.delete(ctx, id)
	}
}

// slowReader reads at a limited rate, and calls then once stop bytes have passed.
type slowReader struct {
	r    io.Reader
	at   int64
	stop int64
	then func() error
}

func (s *slowReader) Read(p []byte) (int, error) {
	const perSecond = 12 << 20 // bytes
	if s.then != nil && s.at >= s.stop {
		if err := s.then(); err != nil {
			return 0, err
		}
		s.then = nil
	}
	n, err := s.r.Read(p)
	s.at += int64(n)
	time.Sleep(time.Duration(n) * time.Second / perSecond) // ADR 111: the rate is what is tested
	return n, err
}

// TestReadBesideDelete reads files by id while they are deleted: the result is the complete file or 404, never another error.
func TestReadBesideDelete(t *testing.T) {
	t.Parallel()
	d := newDownloads(t)
	ctx := t.Context()
	for i := range 60 {
		size := []int64{10 << 10, 1 << 20, 3 << 20}[i%3]
		v := d.w.newVersion(size)
		f, err := d.api.put(ctx, bucket, "beside", v, size)
		require.NoError(t, err)
		gone := make(chan error, 1)
		go func() { gone <- d.api.delete(ctx, f.ID) }()
		for reading := true; reading; {
			got, err := d.api.get(ctx, f.ID, d.w.h.size)
			if errors.Is(err, errGone) {
				break
			}
			require.NoError(t, err, "a read beside the delete, file %d of %d bytes", i, size)
			require.Equal(t, v, got)
			select {
			case err := <-gone:
				require.NoError(t, err)
				gone <- nil
				_, err = d.api.get(ctx, f.ID, d.w.h.size)
				require.ErrorIs(t, err, errGone, "after the delete")
				reading = false
			default:
			}
		}
		require.NoError(t, <-gone)
	}
}
