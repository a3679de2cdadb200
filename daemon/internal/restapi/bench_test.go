package restapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// cpu is the processor time of this process so far, client and server together.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs op from 16 goroutines and reports processor time per request.
func measure(b *testing.B, size int64, op func(pb *testing.PB)) {
	b.Helper()
	b.SetBytes(size)
	b.ReportAllocs()
	b.SetParallelism(16 / runtime.GOMAXPROCS(0))
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(op)
	b.ReportMetric((cpu(b)-before)/1000/float64(b.N), "cpu-µs/op")
}

// spend sends the request until the benchmark ends.
func (r *rig) spend(b *testing.B, pb *testing.PB, status int, make func() *http.Request) {
	for pb.Next() {
		req := make()
		req.SetBasicAuth(r.pair.AccessKey, r.pair.Secret)
		resp, err := r.client.Do(req)
		if err != nil {
			b.Error(err)
			return
		}
		if resp.StatusCode != status {
			b.Errorf("status %d", resp.StatusCode)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Error(err)
		}
		resp.Body.Close()
	}
}

// The baseline: the same client and server with a handler that does almost nothing.
func BenchmarkBare(b *testing.B) {
	data := pattern(4 << 10)
	for _, method := range []string{"GET", "POST"} {
		b.Run(method, func(b *testing.B) {
			r := newRig(b, setup{quick: true, silent: true, unit: 256 << 10, gate: func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						io.Copy(io.Discard, r.Body)
						return
					}
					w.Header().Set("Content-Length", fmt.Sprint(len(data)))
					w.Write(data)
				})
			}})
			measure(b, 4<<10, func(pb *testing.PB) {
				r.spend(b, pb, http.StatusOK, func() *http.Request {
					return r.request(method, "/", bytes.NewReader(data))
				})
			})
		})
	}
}

func BenchmarkPost(b *testing.B) {
	for _, size := range []int{4 << 10, 200 << 10, 1 << 20, 32 << 20} {
		data := pattern(size)
		form, formType := makeForm(b, field{name: "file", value: string(data), filename: "x"})
		for name, c := range map[string]struct {
			path, contentType string
			body              []byte
		}{
			"raw":  {"/files?name=x", "application/octet-stream", data},
			"form": {"/files", formType, form},
		} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				r := newRig(b, setup{quick: true, silent: true, reclaim: true, unit: 256 << 10, maxFile: 64 << 20})
				measure(b, int64(size), func(pb *testing.PB) {
					r.spend(b, pb, http.StatusCreated, func() *http.Request {
						return r.request("POST", c.path, bytes.NewReader(c.body), "Content-Type", c.contentType)
					})
				})
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			r := newRig(b, setup{quick: true, silent: true, unit: 256 << 10, maxFile: 64 << 20})
			f := r.put("x", pattern(size))
			measure(b, int64(size), func(pb *testing.PB) {
				r.spend(b, pb, http.StatusOK, func() *http.Request { return r.request("GET", "/files/"+f.FileID, nil) })
			})
		})
	}
}

// The client of these two writes fixed bytes and reads up to the end of the headers, so that most of the time is the server's.
func BenchmarkHead(b *testing.B) {
	for name, gate := range map[string]func(http.Handler) http.Handler{
		"bare": func(http.Handler) http.Handler { return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}) },
		"file": nil,
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, setup{quick: true, silent: true, gate: gate})
			path := "/"
			if gate == nil {
				path = "/files/" + r.put("x", pattern(4<<10)).FileID
			}
			head := fmt.Appendf(nil, "HEAD %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAuthorization: %s\r\nAccept-Encoding: gzip\r\n\r\n",
				path, r.addr, basic(r.pair.AccessKey, r.pair.Secret))
			measure(b, 0, func(pb *testing.PB) {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				in := bufio.NewReader(conn)
				for pb.Next() {
					if err := headOnce(conn, in, head); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func headOnce(conn net.Conn, in *bufio.Reader, head []byte) error {
	if _, err := conn.Write(head); err != nil {
		return err
	}
	first := true
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("the answer is %q", line)
		}
		if first = false; len(line) == 2 {
			return nil
		}
	}
}
