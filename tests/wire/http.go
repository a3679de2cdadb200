package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// overHTTP is HTTP/1.1 of the standard library.
type overHTTP struct {
	server *http.Server
	client *http.Client
	url    string
	bufs   sync.Pool
}

const sumHeader = "X-Crc"

func startHTTP(l net.Listener, server, client *tls.Config) (transport, error) {
	t := &overHTTP{bufs: sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}}
	t.url = "http://" + l.Addr().String() + "/"
	if client != nil {
		t.url = "https://" + l.Addr().String() + "/"
		server = server.Clone()
		server.NextProtos = []string{"http/1.1"}
	}
	t.server = &http.Server{Handler: http.HandlerFunc(t.serve), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go func() { _ = t.server.Serve(secured(l, server)) }()
	t.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: client, MaxIdleConnsPerHost: 64, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10, DisableCompression: true,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}
	return t, nil
}

func (t *overHTTP) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		n, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header()["Content-Length"] = []string{strconv.Itoa(n)}
		w.Header()[sumHeader] = []string{strconv.FormatUint(uint64(unitSum(n)), 10)}
		_, _ = w.Write(unit[:n])
		return
	}
	buf := t.bufs.Get().(*[]byte)
	defer t.bufs.Put(buf)
	b := (*buf)[:r.ContentLength]
	_, err := io.ReadFull(r.Body, b)
	if err != nil || strconv.FormatUint(uint64(checksum(b)), 10) != r.Header.Get(sumHeader) {
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (t *overHTTP) do(r *http.Request) error {
	resp, err := t.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	buf := t.bufs.Get().(*[]byte)
	defer t.bufs.Put(buf)
	b := (*buf)[:resp.ContentLength]
	if _, err := io.ReadFull(resp.Body, b); err != nil {
		return err
	}
	if sum := resp.Header.Get(sumHeader); sum != "" && strconv.FormatUint(uint64(checksum(b)), 10) != sum {
		return errSum
	}
	_, err = io.Copy(io.Discard, resp.Body) // the connection is kept
	return err
}

func (t *overHTTP) get(size int) error {
	r, err := http.NewRequestWithContext(background, http.MethodGet, t.url+strconv.Itoa(size), nil)
	if err != nil {
		return err
	}
	return t.do(r)
}

func (t *overHTTP) put(b []byte) error {
	r, err := http.NewRequestWithContext(background, http.MethodPut, t.url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header[sumHeader] = []string{strconv.FormatUint(uint64(unitSum(len(b))), 10)}
	return t.do(r)
}

func (t *overHTTP) close() {
	t.client.CloseIdleConnections()
	_ = t.server.Close()
}
