// Package resttest is an in-memory gateway for tests of REST clients. It uses the types of proto/rest over real HTTP, checks
// access keys and checksums as the contract says, and can inject failures.
package resttest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/rest"
)

// The access key that the server accepts.
const (
	AccessKey = "RKTEST"
	Secret    = "secret"
)

// Hook is called with each request first; true means that it has answered.
type Hook func(w http.ResponseWriter, r *http.Request) bool

// Server is the gateway. Its methods are safe for concurrent use.
type Server struct {
	URL string

	mu      sync.Mutex // guards all below
	hook    Hook
	buckets map[string]rest.Bucket
	files   []stored // in order of arrival
	serial  int
	calls   map[string]int
	mangle  func(rest.File) rest.File

	mux        http.Handler
	sessions   map[string]session
	smallParts bool
	manglePart func(rest.SessionPart) rest.SessionPart
}

type stored struct {
	rest.File
	data []byte
}

// New starts a server with the bucket "default"; it ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{buckets: map[string]rest.Bucket{}, calls: map[string]int{}, sessions: map[string]session{}}
	s.AddBucket("default")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", health)
	mux.HandleFunc("GET /buckets", s.listBuckets)
	mux.HandleFunc("POST /buckets", s.createBucket)
	mux.HandleFunc("GET /buckets/{bucket}", s.getBucket)
	mux.HandleFunc("DELETE /buckets/{bucket}", s.deleteBucket)
	mux.HandleFunc("GET /files", s.listFiles)
	mux.HandleFunc("POST /files", s.upload)
	mux.HandleFunc("GET /files/{id}", s.download)
	mux.HandleFunc("GET /files/{id}/metadata", s.metadata)
	mux.HandleFunc("DELETE /files/{id}", s.deleteFile)
	mux.HandleFunc("DELETE /files/by-name", s.deleteByName)
	s.routeSessions(mux)
	s.routeObjects(mux)
	s.mux = mux
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[r.Method+" "+r.URL.Path]++
		hook := s.hook
		s.mu.Unlock()
		if hook != nil && hook(w, r) {
			return
		}
		user, password, _ := r.BasicAuth()
		if r.URL.Path != "/health" && (user != AccessKey || password != Secret) {
			Refuse(w, http.StatusUnauthorized, rest.CodeDenied, "the access key or its secret is wrong", "")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// ServeHTTP answers a request without the hook and without authentication, so that a hook can let the server handle a request
// and then decide what the client receives.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Profile returns a profile for the server.
func (s *Server) Profile() profile.Profile {
	return profile.Profile{Endpoint: s.URL, AccessKey: AccessKey, Secret: Secret}
}

// SetHook replaces the hook; nil removes it.
func (s *Server) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Mangle changes the answers to uploads, as a broken server would.
func (s *Server) Mangle(m func(rest.File) rest.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mangle = m
}

// Calls returns how often "METHOD /path" was called.
func (s *Server) Calls(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

// AddBucket creates a bucket.
func (s *Server) AddBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[name] = rest.Bucket{Name: name, CreatedAt: epoch}
}

// Add stores a file, replacing one of the same name.
func (s *Server) Add(bucket, name, data string) rest.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(bucket, name, "application/octet-stream", []byte(data))
}

// Data returns what is stored under a name.
func (s *Server) Data(bucket, name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.Bucket == bucket && f.Name == name {
			return string(f.data), true
		}
	}
	return "", false
}

// Names lists the names in a bucket, sorted.
func (s *Server) Names(bucket string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for _, f := range s.files {
		if f.Bucket == bucket {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// epoch is the start of the server's clock, so that tests see the same times in each run.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// put stores a file. The caller holds mu.
func (s *Server) put(bucket, name, contentType string, data []byte) rest.File {
	id := fmt.Sprintf("00000000-0000-7000-8000-%012d", s.serial+1)
	return s.putAs(id, bucket, name, contentType, nil, data)
}

// putAs stores a file under a given id. The caller holds mu.
func (s *Server) putAs(id, bucket, name, contentType string, meta map[string]string, data []byte) rest.File {
	s.serial++
	at := epoch.Add(time.Duration(s.serial) * time.Second)
	f := rest.File{
		Bucket: bucket, Name: name, FileID: id, ETag: strings.ReplaceAll(id, "-", "") + "-0", Size: int64(len(data)), ContentType: contentType,
		Status: rest.StatusCompleted, Latest: true, Meta: meta, CreatedAt: at, CompletedAt: at.Add(time.Millisecond), Checksums: rest.Checksums{CRC64NVME: crcOf(data)},
	}
	s.files = slices.DeleteFunc(s.files, func(old stored) bool { return old.Bucket == bucket && old.Name == name })
	s.files = append(s.files, stored{f, data})
	return f
}

func crcOf(data []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, crc64nvme.Checksum(data)))
}

// Refuse answers with a problem document.
func Refuse(w http.ResponseWriter, status int, code rest.ProblemCode, detail, hint string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(rest.Problem{
		Type: "urn:ringstore:problem:" + string(code), Title: string(code), Status: status, Code: code, Detail: detail, Hint: hint,
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, rest.Health{Status: rest.HealthOK, Metadata: rest.MetadataOK, Reasons: []string{}})
}

func (s *Server) listBuckets(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := rest.BucketList{Buckets: []rest.Bucket{}}
	for name := range s.buckets {
		list.Buckets = append(list.Buckets, s.bucket(name))
	}
	slices.SortFunc(list.Buckets, func(a, b rest.Bucket) int { return strings.Compare(a.Name, b.Name) })
	answer(w, http.StatusOK, list)
}

func (s *Server) createBucket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b rest.NewBucket
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "the body is not JSON", "")
		return
	}
	if _, there := s.buckets[b.Name]; there {
		Refuse(w, http.StatusConflict, rest.CodeExists, fmt.Sprintf("bucket %q exists already", b.Name), "Choose another name.")
		return
	}
	if b.Survive != nil && (*b.Survive < 0 || *b.Survive > 3) {
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "survive is not within 0..3", "")
		return
	}
	made := rest.Bucket{Name: b.Name, Survive: b.Survive, CreatedAt: epoch}
	s.buckets[b.Name] = made
	answer(w, http.StatusCreated, made)
}

func (s *Server) getBucket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known(w, r.PathValue("bucket")) {
		answer(w, http.StatusOK, s.bucket(r.PathValue("bucket")))
	}
}

// bucket returns a bucket with its usage. The caller holds mu.
func (s *Server) bucket(name string) rest.Bucket {
	b := s.buckets[name]
	for _, f := range s.files {
		if f.Bucket == name {
			b.Usage = rest.Usage{Bytes: b.Usage.Bytes + f.Size, Files: b.Usage.Files + 1}
		}
	}
	return b
}

func (s *Server) known(w http.ResponseWriter, bucket string) bool {
	_, ok := s.buckets[bucket]
	if !ok {
		Refuse(w, http.StatusNotFound, rest.CodeNotFound, "no such bucket", "")
	}
	return ok
}

func (s *Server) deleteBucket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("bucket")
	switch {
	case !s.known(w, name):
	case slices.ContainsFunc(s.files, func(f stored) bool { return f.Bucket == name }):
		Refuse(w, http.StatusConflict, rest.CodeConflict, fmt.Sprintf("bucket %q is not empty", name), "")
	default:
		delete(s.buckets, name)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) listFiles(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	if !s.known(w, q.Get("bucket")) {
		return
	}
	size, err := strconv.Atoi(q.Get("per_page"))
	if err != nil || size < 1 || size > 1000 {
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "per_page is not within 1..1000", "")
		return
	}
	list := rest.FileList{Files: []rest.File{}, Prefixes: []string{}, PerPage: size}
	if name := q.Get("name"); name != "" {
		for _, f := range s.files {
			if f.Bucket == q.Get("bucket") && f.Name == name {
				list.Files = append(list.Files, f.File)
			}
		}
		answer(w, http.StatusOK, list)
		return
	}
	s.byName(&list, q.Get("bucket"), q.Get("prefix"), q.Get("delimiter"), q.Get("after"))
	answer(w, http.StatusOK, list)
}

// byName lists in the simplest way: it visits all names.
func (s *Server) byName(list *rest.FileList, bucket, prefix, delimiter, after string) {
	files := slices.Clone(s.files)
	slices.SortFunc(files, func(a, b stored) int { return strings.Compare(a.Name, b.Name) })
	last := after
	for _, f := range files {
		rest, ok := strings.CutPrefix(f.Name, prefix)
		if f.Bucket != bucket || !ok {
			continue
		}
		name, group := f.Name, false
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			name, group = prefix+rest[:i+len(delimiter)], true
		}
		if name <= last {
			continue
		}
		if len(list.Files)+len(list.Prefixes) == list.PerPage {
			list.HasMore, list.Next = true, last
			return
		}
		last = name
		if group {
			list.Prefixes = append(list.Prefixes, name)
		} else {
			list.Files = append(list.Files, f.File)
		}
	}
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	known := s.known(w, q.Get("bucket"))
	s.mu.Unlock()
	if !known {
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		Refuse(w, http.StatusBadRequest, rest.CodeCanceled, "the body ended early", "")
		return
	}
	want := r.Header.Get("X-Checksum-Crc64nvme")
	if want == "" {
		want = r.Trailer.Get("X-Checksum-Crc64nvme")
	}
	if want != "" && want != crcOf(data) {
		Refuse(w, http.StatusBadRequest, rest.CodeCorrupt, "the bytes do not have this checksum", "Send it again.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("00000000-0000-7000-8000-%012d", s.serial+1)
	f := s.putAs(id, q.Get("bucket"), q.Get("name"), r.Header.Get("Content-Type"), metaOf(r.Header), data)
	if s.mangle != nil {
		f = s.mangle(f)
	}
	answer(w, http.StatusCreated, f)
}

// metaOf returns the user metadata in the headers.
func metaOf(h http.Header) map[string]string {
	var meta map[string]string
	for name, values := range h {
		if name, ok := strings.CutPrefix(name, "X-Meta-"); ok {
			if meta == nil {
				meta = map[string]string{}
			}
			meta[strings.ToLower(name)] = values[0]
		}
	}
	return meta
}

// find looks up a file by its id.
func (s *Server) find(w http.ResponseWriter, id string) (stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.FileID == id {
			return f, true
		}
	}
	Refuse(w, http.StatusNotFound, rest.CodeNotFound, "no such file", "")
	return stored{}, false
}

func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	f, ok := s.find(w, r.PathValue("id"))
	if !ok {
		return
	}
	if r.Header.Get("Range") == "" {
		w.Header().Set("X-Checksum-Crc64nvme", f.Checksums.CRC64NVME)
	} else if first, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); first != "" {
		if n, err := strconv.ParseInt(first, 10, 64); err == nil && n >= f.Size {
			Refuse(w, http.StatusRequestedRangeNotSatisfiable, rest.CodeOutOfRange, fmt.Sprintf("the file has %d bytes", f.Size), "")
			return
		}
	}
	w.Header().Set("Content-Type", f.ContentType)
	w.Header().Set("ETag", `"`+f.ETag+`"`)
	http.ServeContent(w, r, "", f.CompletedAt, strings.NewReader(string(f.data)))
}

func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	if f, ok := s.find(w, r.PathValue("id")); ok {
		answer(w, http.StatusOK, Describe(f.File))
	}
}

// Describe invents the locations of a file's bytes: three copies on three nodes.
func Describe(f rest.File) rest.FileMetadata {
	part := rest.Part{Number: 1, Size: f.Size, DataChunks: 1, ParityChunks: 2, UnitSize: 256 << 10, Chunks: []rest.Chunk{}}
	for i := range 3 {
		part.Chunks = append(part.Chunks, rest.Chunk{
			ChunkID: fmt.Sprintf("%032d-%02d", 1, i), Role: rest.RoleCopy, Bytes: f.Size, Reachable: true,
			NodeID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1), Node: fmt.Sprintf("node-%d", i+1), Zone: fmt.Sprintf("rack-%d", i%2+1),
		})
	}
	return rest.FileMetadata{
		Bucket: f.Bucket, Name: f.Name, FileID: f.FileID, ETag: f.ETag, Size: f.Size, ContentType: f.ContentType, Status: f.Status, Latest: f.Latest, Meta: f.Meta,
		CreatedAt: f.CreatedAt, CompletedAt: f.CompletedAt, Checksums: f.Checksums, Survives: 2, Wanted: 2, Parts: []rest.Part{part},
	}
}

func (s *Server) deleteFile(w http.ResponseWriter, r *http.Request) {
	f, ok := s.find(w, r.PathValue("id"))
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = slices.DeleteFunc(s.files, func(other stored) bool { return other.FileID == f.FileID })
	w.WriteHeader(http.StatusNoContent)
}
