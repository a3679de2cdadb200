package standalone_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/profile"
)

// TestWhatIsFiveSecondsOldIsRebuilt: a server that is putting, replacing, renaming and deleting files is ended in the middle of it, without
// waiting for its log. What was acknowledged more than five seconds before is in a database that is rebuilt from the disks: every key shows
// what it showed then, or what was done to it later.
func TestWhatIsFiveSecondsOldIsRebuilt(t *testing.T) {
	home(t)
	data := filepath.Join(t.TempDir(), "data")
	p := run(t, "--data", data, "--listen", "127.0.0.1:0")
	p.ready()
	server := local(t)

	ended := make(chan struct{})
	writers := make([]*keyWriter, 4)
	var all sync.WaitGroup
	for i := range writers {
		writers[i] = &keyWriter{server: server, key: fmt.Sprintf("key-%d", i)}
		all.Go(func() { writers[i].run(ended) })
	}
	const promised = 5 * time.Second
	for deadline := time.Now().Add(time.Minute); ; { // until much is old enough, and the server says that the promise holds
		lag, known := logLag(t, server)
		if known && lag < promised && writers[0].since(2*promised) {
			break
		}
		require.True(t, time.Now().Before(deadline), "the log is %v behind", lag)
	}
	lost := time.Now()
	close(ended)
	require.Zero(t, p.end(), "%s", p.err)
	all.Wait()

	rebuilt, _ := rebuild(t, data, 0)
	for _, w := range writers {
		w.check(t, rebuilt, lost.Add(-promised))
	}
}

// logLag is how much of the metadata the server says that only its database has.
func logLag(t *testing.T, p profile.Profile) (lag time.Duration, known bool) {
	t.Helper()
	var h struct {
		Log *struct {
			Lag float64 `json:"lag"`
		} `json:"metadata_log"`
	}
	require.NoError(t, json.Unmarshal(expect(t, p, http.StatusOK, http.MethodGet, "/health", nil, ""), &h))
	if h.Log == nil {
		return 0, false
	}
	return time.Duration(h.Log.Lag * float64(time.Second)), true
}

// keyWriter changes what one key shows, and remembers what it showed when. Each file that it puts has another size.
type keyWriter struct {
	server profile.Profile
	key    string

	mu    sync.Mutex // guards what follows
	steps []step
	err   error // why it ended before it was told to
}

// step is a change of the key, which then shows a file of that many bytes, or nothing (0).
type step struct {
	size  int
	acked time.Time // zero: it is not acknowledged
}

// run puts a file, replaces it, renames it to another key and back, and sometimes deletes it, until ended is closed.
func (w *keyWriter) run(ended <-chan struct{}) {
	const files, raw, text = "/files?bucket=default&name=", "application/octet-stream", "application/json"
	var id string
	put := func(size int) func() (err error) {
		return func() (err error) {
			id, err = w.change(size, http.MethodPost, files+w.key, raw, make([]byte, size))
			return err
		}
	}
	to := func(size int, method, path, body string) func() error {
		return func() error {
			_, err := w.change(size, method, "/files/"+id+path, text, []byte(body))
			return err
		}
	}
	for n := 1; ; n += 2 {
		changes := []func() error{
			put(n), put(n + 1),
			to(0, http.MethodPost, "/rename", `{"name": "`+w.key+`-moved"}`),
			to(n+1, http.MethodPost, "/rename", `{"name": "`+w.key+`"}`),
		}
		if n%4 == 1 {
			changes = append(changes, to(0, http.MethodDelete, "", ""))
		}
		for _, change := range changes {
			err := change()
			select {
			case <-ended:
				return
			default:
			}
			if err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
				return
			}
		}
	}
}

// change sends a request after which the key shows that many bytes, and returns the id of the file in the answer.
func (w *keyWriter) change(size int, method, path, contentType string, body []byte) (id string, err error) {
	w.mu.Lock()
	w.steps = append(w.steps, step{size: size})
	w.mu.Unlock()
	status, answer, err := try(w.server, method, path, contentType, body)
	if err != nil {
		return "", err
	}
	if status >= http.StatusMultipleChoices {
		return "", fmt.Errorf("%s %s: %d %s", method, path, status, answer)
	}
	w.mu.Lock()
	w.steps[len(w.steps)-1].acked = time.Now()
	w.mu.Unlock()
	if len(answer) == 0 {
		return "", nil
	}
	var f struct {
		ID string `json:"file_id"`
	}
	return f.ID, json.Unmarshal(answer, &f)
}

// since tells whether its first change is that old.
func (w *keyWriter) since(age time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.steps) > 0 && !w.steps[0].acked.IsZero() && time.Since(w.steps[0].acked) > age
}

// check demands that the key shows in the rebuilt store what it showed at that time, or later.
func (w *keyWriter) check(t *testing.T, rebuilt store.Metadata, at time.Time) {
	t.Helper()
	require.NoError(t, w.err)
	first := 0
	for i, s := range w.steps {
		if !s.acked.IsZero() && s.acked.Before(at) {
			first = i
		}
	}
	require.Positive(t, first)
	var size int
	f, err := rebuilt.LatestFile(t.Context(), store.DefaultBucket, store.Key(w.key))
	if !errors.Is(err, store.NotFound) {
		require.NoError(t, err)
		size = int(f.Size)
	}
	var shown []int
	for _, s := range w.steps[first:] {
		shown = append(shown, s.size)
	}
	require.Contains(t, shown, size, "%s shows an earlier file, or none", w.key)
}
