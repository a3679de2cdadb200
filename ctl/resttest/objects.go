package resttest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/ringstore/ringstore/proto/rest"
)

func (s *Server) routeObjects(mux *http.ServeMux) {
	mux.HandleFunc("POST /files/{id}/copy", s.copyFile)
	mux.HandleFunc("POST /files/{id}/rename", s.renameFile)
}

// AddWith stores a file with a type and metadata, replacing one of the same name.
func (s *Server) AddWith(bucket, name, contentType string, meta map[string]string, data string) rest.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putAs(s.newID(), bucket, name, contentType, meta, []byte(data))
}

// newID returns an unused file id. The caller holds mu.
func (s *Server) newID() string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", s.serial+1) }

// File returns the file that a bucket shows under a name.
func (s *Server) File(bucket, name string) (rest.File, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.index(func(f stored) bool { return f.Bucket == bucket && f.Name == name })
	if at < 0 {
		return rest.File{}, false
	}
	return s.files[at].File, true
}

// Remove removes a file, as another client would.
func (s *Server) Remove(bucket, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = slices.DeleteFunc(s.files, func(f stored) bool { return f.Bucket == bucket && f.Name == name })
}

// Damage changes the bytes of a file but not its checksum.
func (s *Server) Damage(bucket, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.index(func(f stored) bool { return f.Bucket == bucket && f.Name == name })
	data := slices.Clone(s.files[at].data)
	data[0] ^= 1
	s.files[at].data = data
}

// index finds a file. The caller holds mu.
func (s *Server) index(is func(stored) bool) int { return slices.IndexFunc(s.files, is) }

// deleteByName deletes the file that a bucket shows under a name. Of conditions it knows "*" and one entity tag.
func (s *Server) deleteByName(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, name := cmp.Or(r.URL.Query().Get("bucket"), "default"), r.URL.Query().Get("name")
	if !s.known(w, bucket) {
		return
	}
	at := s.index(func(f stored) bool { return f.Bucket == bucket && f.Name == name })
	is := func(tag string) bool { return at >= 0 && (tag == "*" || tag == `"`+s.files[at].ETag+`"`) }
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case match != "" && !is(match), none != "" && is(none):
		Refuse(w, http.StatusPreconditionFailed, rest.CodePreconditionFailed, "the condition does not hold", "")
	case at < 0:
		Refuse(w, http.StatusNotFound, rest.CodeNotFound, "no such file", "")
	default:
		s.files = slices.Delete(s.files, at, at+1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) copyFile(w http.ResponseWriter, r *http.Request) {
	f, ok := s.find(w, r.PathValue("id"))
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.target(w, r, f)
	if ok {
		answer(w, http.StatusCreated, s.putAs(s.newID(), t.Bucket, t.Name, f.ContentType, f.Meta, f.data))
	}
}

func (s *Server) renameFile(w http.ResponseWriter, r *http.Request) {
	f, ok := s.find(w, r.PathValue("id"))
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.target(w, r, f)
	if !ok {
		return
	}
	s.files = slices.DeleteFunc(s.files, func(other stored) bool {
		return other.FileID != f.FileID && other.Bucket == t.Bucket && other.Name == t.Name
	})
	at := s.index(func(other stored) bool { return other.FileID == f.FileID })
	s.files[at].Bucket, s.files[at].Name = t.Bucket, t.Name
	answer(w, http.StatusOK, s.files[at].File)
}

// target decodes the new address of a file. The caller holds mu.
func (s *Server) target(w http.ResponseWriter, r *http.Request, f stored) (t rest.Target, ok bool) {
	if err := json.NewDecoder(r.Body).Decode(&t); err != nil || t.Name == "" {
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "the document is wrong", "")
		return t, false
	}
	t.Bucket = cmp.Or(t.Bucket, f.Bucket)
	return t, s.known(w, t.Bucket)
}
