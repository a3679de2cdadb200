package resttest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ringstore/ringstore/proto/rest"
)

// minPart is the least size in bytes of a part before the last.
const minPart = 1 << 20

// AllowSmallParts accepts parts of any size, which a gateway does not.
func (s *Server) AllowSmallParts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.smallParts = true
}

// session is an unfinished upload.
type session struct {
	rest.Session
	data map[int][]byte
}

func (s *Server) routeSessions(mux *http.ServeMux) {
	mux.HandleFunc("POST /sessions", s.createSession)
	mux.HandleFunc("GET /sessions", s.listSessions)
	mux.HandleFunc("GET /sessions/{id}", s.getSession)
	mux.HandleFunc("DELETE /sessions/{id}", s.abortSession)
	mux.HandleFunc("PUT /sessions/{id}/parts/{number}", s.putPart)
	mux.HandleFunc("POST /sessions/{id}/complete", s.completeSession)
}

// Sessions returns the unfinished sessions in order of their ids.
func (s *Server) Sessions() []rest.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessionList()
}

// Expire expires all sessions.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// sessionList returns all sessions without their parts. The caller holds mu.
func (s *Server) sessionList() []rest.Session {
	list := []rest.Session{}
	for _, x := range s.sessions {
		one := x.Session
		one.Parts = nil
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b rest.Session) int { return strings.Compare(a.SessionID, b.SessionID) })
	return list
}

func (s *Server) createSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n rest.NewSession
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil || n.Name == "" {
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "the document is wrong", "")
		return
	}
	if n.Bucket = cmp.Or(n.Bucket, "default"); !s.known(w, n.Bucket) {
		return
	}
	s.serial++
	x := session{data: map[int][]byte{}, Session: rest.Session{
		SessionID: fmt.Sprintf("00000000-0000-7000-9000-%012d", s.serial), Bucket: n.Bucket, Name: n.Name, Size: -1,
		ContentType: cmp.Or(n.ContentType, "application/octet-stream"), Checksums: n.Checksums, Meta: n.Meta,
		CreatedAt: epoch, ExpiresAt: epoch.AddDate(0, 0, 7),
	}}
	if n.Size != nil {
		x.Size = *n.Size
	}
	s.sessions[x.SessionID] = x
	answer(w, http.StatusCreated, x.Session)
}

func (s *Server) listSessions(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	if b := q.Get("bucket"); b != "" && !s.known(w, b) {
		return
	}
	list := slices.DeleteFunc(s.sessionList(), func(x rest.Session) bool {
		b := q.Get("bucket")
		return b != "" && x.Bucket != b || !strings.HasPrefix(x.Name, q.Get("prefix")) || x.SessionID <= q.Get("after")
	})
	answer(w, http.StatusOK, rest.SessionList{Sessions: list})
}

// findSession looks up a session. The caller holds mu.
func (s *Server) findSession(w http.ResponseWriter, id string) (session, bool) {
	x, ok := s.sessions[id]
	if !ok {
		Refuse(w, http.StatusNotFound, rest.CodeNotFound, "there is no session "+id, "Begin a new one.")
	}
	return x, ok
}

func (s *Server) getSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, ok := s.findSession(w, r.PathValue("id")); ok {
		answer(w, http.StatusOK, x.Session)
	}
}

func (s *Server) abortSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, ok := s.findSession(w, r.PathValue("id")); ok {
		delete(s.sessions, x.SessionID)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) putPart(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 1 || number > 10000 {
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "no such part number", "")
		return
	}
	data, err := s.partBytes(w, r)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.findSession(w, r.PathValue("id"))
	if !ok {
		return
	}
	p := rest.SessionPart{Number: number, Size: int64(len(data)), CRC64NVME: crcOf(data), StoredAt: epoch}
	x.data[number] = data
	at, there := slices.BinarySearchFunc(x.Parts, number, func(p rest.SessionPart, n int) int { return p.Number - n })
	if there {
		x.Received -= x.Parts[at].Size
		x.Parts = slices.Delete(slices.Clone(x.Parts), at, at+1)
	}
	x.Parts = slices.Insert(slices.Clone(x.Parts), at, p)
	x.Received += p.Size
	s.sessions[x.SessionID] = x
	if s.manglePart != nil {
		p = s.manglePart(p)
	}
	answer(w, http.StatusOK, p)
}

// partBytes returns the bytes of a part, from the body or from a stored file.
func (s *Server) partBytes(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	q := r.URL.Query()
	if q.Has("source") {
		f, ok := s.find(w, q.Get("source"))
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		off, _ := strconv.ParseInt(q.Get("offset"), 10, 64)
		n := f.Size - off
		if q.Has("length") {
			n, _ = strconv.ParseInt(q.Get("length"), 10, 64)
		}
		if off < 0 || n < 1 || off+n > f.Size {
			Refuse(w, http.StatusRequestedRangeNotSatisfiable, rest.CodeOutOfRange, "the file has no such bytes", "")
			return nil, io.ErrUnexpectedEOF
		}
		return f.data[off : off+n], nil
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		Refuse(w, http.StatusBadRequest, rest.CodeCanceled, "the body ended early", "")
		return nil, err
	}
	if want := r.Header.Get("X-Checksum-Crc64nvme"); want != "" && want != crcOf(data) {
		Refuse(w, http.StatusBadRequest, rest.CodeCorrupt, "the bytes do not have this checksum", "Send it again.")
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}

// MangleParts changes the answers to parts, as a broken server would.
func (s *Server) MangleParts(m func(rest.SessionPart) rest.SessionPart) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manglePart = m
}

func (s *Server) completeSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var want rest.CompleteSession
	if err := json.NewDecoder(r.Body).Decode(&want); err != nil && r.ContentLength != 0 {
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "the document is wrong", "")
		return
	}
	id := r.PathValue("id")
	for _, f := range s.files {
		if f.FileID == id {
			answer(w, http.StatusOK, f.File) // completed before
			return
		}
	}
	x, ok := s.findSession(w, id)
	if !ok {
		return
	}
	data, problem := x.join(want)
	small := x.tooSmall(want)
	switch {
	case problem != "":
		Refuse(w, http.StatusConflict, rest.CodeConflict, problem, "")
	case small > 0 && !s.smallParts:
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, fmt.Sprintf("part %d is too small; every part but the last has at least %d bytes", small, minPart), "")
	case want.Size != nil && *want.Size != int64(len(data)), x.Size >= 0 && x.Size != int64(len(data)):
		Refuse(w, http.StatusBadRequest, rest.CodeInvalid, "the parts have another size", "")
	case want.Checksums.CRC64NVME != "" && want.Checksums.CRC64NVME != crcOf(data):
		Refuse(w, http.StatusBadRequest, rest.CodeCorrupt, "the parts have another checksum", "")
	default:
		delete(s.sessions, id)
		answer(w, http.StatusOK, s.putAs(id, x.Bucket, x.Name, x.ContentType, x.Meta, data))
	}
}

// wanted lists the parts of a completion, which are all if it names none.
func (x session) wanted(want rest.CompleteSession) []rest.PartRef {
	parts := want.Parts
	if parts == nil {
		for _, p := range x.Parts {
			parts = append(parts, rest.PartRef{Number: p.Number})
		}
	}
	return parts
}

// tooSmall returns the number of the first part that is too small, or 0.
func (x session) tooSmall(want rest.CompleteSession) int {
	parts := x.wanted(want)
	for i, p := range parts {
		if i < len(parts)-1 && len(x.data[p.Number]) < minPart {
			return p.Number
		}
	}
	return 0
}

// join concatenates the wanted parts.
func (x session) join(want rest.CompleteSession) (data []byte, problem string) {
	for _, p := range x.wanted(want) {
		part, there := x.data[p.Number]
		switch {
		case !there:
			return nil, fmt.Sprintf("part %d has not arrived", p.Number)
		case p.CRC64NVME != "" && p.CRC64NVME != crcOf(part):
			return nil, fmt.Sprintf("part %d is another", p.Number)
		}
		data = append(data, part...)
	}
	return data, ""
}
