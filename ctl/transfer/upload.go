package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// upload is the upload of a large file in parts.
type upload struct {
	m    *Manager
	f    *os.File
	info os.FileInfo
	path string
	dst  address.Remote

	log      *journal.Log // nil: a later run cannot resume
	head     uploadHead
	progress *progress
}

// putParts sends an open file in parts. Parts that an earlier run stored are not sent again.
func (m *Manager) putParts(ctx context.Context, path string, f *os.File, info os.FileInfo, dst address.Remote) (rest.File, error) {
	u := &upload{m: m, f: f, info: info, path: path, dst: dst}
	defer func() { u.log.Close() }()
	stored, err := u.resume(ctx)
	if stored.FileID != "" || err != nil {
		return stored, err
	}
	stored, err = u.send(ctx)
	for range 2 { // a session that expires or is aborted meanwhile is replaced, at most twice
		if err == nil || !errors.Is(err, errSessionGone) {
			break
		}
		m.note("%s: the upload session no longer exists; starting from the beginning", path)
		if err = u.begin(ctx); err == nil {
			stored, err = u.send(ctx)
		}
	}
	if err == nil {
		u.log.Remove()
	}
	return stored, err
}

// resume continues the session of an earlier run, or starts a new one if no session can be
// continued. It returns a file if the earlier run had completed the upload.
func (u *upload) resume(ctx context.Context) (rest.File, error) {
	l, entries, found, err := u.m.openUploadLog(u.path, u.dst.Bucket, u.dst.Key, &u.head)
	switch {
	case errors.Is(err, journal.ErrUnreadable):
		u.m.note("%s: %v; starting from the beginning", u.path, err)
	case err == nil && l == nil:
		u.m.note("%s: this upload cannot be resumed if it is interrupted, since there is no folder for its log: set HOME or XDG_STATE_HOME", u.path)
	case errors.Is(err, journal.ErrTaken), errors.Is(err, journal.ErrNewer):
		return rest.File{}, err
	case err != nil:
		u.m.note("%s: this upload cannot be resumed if it is interrupted, since its log cannot be written: %v", u.path, err)
	}
	u.log = l
	if !found {
		return rest.File{}, u.begin(ctx)
	}
	if u.head.Source != fingerprintOf(u.info) || !(cut{u.info.Size(), u.head.PartSize}).possible() {
		u.m.note("%s: the file has changed since its upload was interrupted; starting from the beginning", u.path)
		u.m.abort(ctx, u.head.Session)
		return rest.File{}, u.begin(ctx)
	}
	u.progress = newProgress(cut{u.info.Size(), u.head.PartSize})
	known := u.progress.known(entries)
	s, err := Try(ctx, u.m.Retry, func() (rest.Session, error) { return u.m.Client.Session(ctx, u.head.Session) })
	switch {
	case fault.KindOf(err) == problem.NotFound:
		return u.wasCompleted(ctx, known)
	case err != nil:
		return rest.File{}, err
	}
	if err := u.compareParts(ctx, s, known); err != nil {
		return rest.File{}, err
	}
	u.m.resuming(u.path, u.progress)
	return rest.File{}, nil
}

// compareParts marks the parts that the server has stored with the right checksum as present. If the log does
// not have a part's checksum, the part is read again, which is faster than sending it.
func (u *upload) compareParts(ctx context.Context, s rest.Session, known map[int]uint64) error {
	for _, p := range s.Parts {
		i := p.Number - 1
		if i >= u.progress.cut.count() {
			continue // not a part of this upload; complete does not list it
		}
		off, n := u.progress.cut.span(i)
		crc, ok := known[i]
		if !ok {
			var err error
			if crc, _, err = localfile.Sum(ctx, io.NewSectionReader(u.f, off, n)); err != nil {
				return fromReading(u.path, err)
			}
		}
		if p.Size == n && p.CRC64NVME == checksum.Encode(crc) {
			u.progress.set(i, crc)
		}
	}
	return nil
}

// wasCompleted handles a session that no longer exists: the earlier run may have completed it and ended before it
// received the answer. Otherwise it starts a new session.
func (u *upload) wasCompleted(ctx context.Context, known map[int]uint64) (rest.File, error) {
	for i, crc := range known {
		u.progress.set(i, crc)
	}
	if len(u.progress.missing()) == 0 {
		f, err := u.complete(ctx)
		if err == nil {
			u.m.note("%s: an earlier run had already completed this upload", u.path)
			u.m.resumed(f.Size)
			u.log.Remove()
			return f, nil
		}
		if !errors.Is(err, errSessionGone) {
			return rest.File{}, err
		}
	}
	u.m.note("%s: the session of the earlier upload no longer exists; starting from the beginning", u.path)
	return rest.File{}, u.begin(ctx)
}

// begin creates a session and records it before any part is sent.
func (u *upload) begin(ctx context.Context) error {
	size := u.info.Size()
	n := rest.NewSession{
		Bucket: u.dst.Bucket, Name: u.dst.Key, Size: &size, ContentType: cmp.Or(u.m.ContentType, contentType(u.path)), Meta: metaOf(u.info),
	}
	s, err := Try(ctx, u.m.Retry, func() (rest.Session, error) { return u.m.Client.CreateSession(ctx, n) })
	if err != nil {
		return err
	}
	u.head = uploadHead{
		Head: journal.Head{Format: journal.Upload, Version: journal.Version}, Session: s.SessionID, Endpoint: u.m.Client.Endpoint(), Bucket: u.dst.Bucket, Key: u.dst.Key,
		Path: u.path, Source: fingerprintOf(u.info), PartSize: u.m.Sizes.part(size, u.m.Lanes.most),
	}
	u.progress = newProgress(cut{size, u.head.PartSize})
	if err := u.log.Begin(u.head); err != nil {
		u.m.note("%s: this upload cannot be resumed if it is interrupted, since its log cannot be written: %v", u.path, err)
		u.log.Remove()
		u.log = nil
	}
	return nil
}

// errSessionGone: the session was aborted, or it expired.
var errSessionGone = errors.New("the upload session no longer exists")

// send sends the missing parts and completes the session.
func (u *upload) send(ctx context.Context) (rest.File, error) {
	err := u.m.eachPart(ctx, u.progress.missing(), u.sendPart)
	if err == nil {
		err = unchanged(u.path, u.f, u.info)
	}
	var f rest.File
	if err == nil {
		f, err = u.complete(ctx)
	}
	switch {
	case err == nil:
		return f, nil
	case ctx.Err() != nil:
		return rest.File{}, interrupted(ctx, u.progress)
	case errors.Is(err, errChanged):
		u.m.abort(ctx, u.head.Session)
		u.log.Remove()
		u.log = nil
		return rest.File{}, changed(u.path)
	case u.log == nil:
		u.m.abort(ctx, u.head.Session) // no later run could resume it
	case fault.ExitOf(err) == fault.Unavailable, fault.ExitOf(err) == fault.NoSpace:
		return rest.File{}, u.withResumeHint(err)
	}
	return rest.File{}, err
}

// withResumeHint adds to a temporary error how to resume.
func (u *upload) withResumeHint(err error) error {
	hint := "run the same command again to resume: " + u.progress.String() + " have arrived"
	if first := fault.HintOf(err); first != "" {
		hint = first + "\n" + hint
	}
	return &fault.Error{Kind: fault.KindOf(err), Err: err, Hint: hint}
}

func (u *upload) sendPart(ctx context.Context, i int, first *lane) error {
	off, n := u.progress.cut.span(i)
	err := u.m.tryFrom(ctx, first, n, func(ctx context.Context, ln *lane) error {
		part := &partReader{r: io.NewSectionReader(u.f, off, n), left: n, path: u.path, onLastByte: ln.sent}
		summed := &checksumReader{r: u.m.limited(ctx, part)}
		body := &metered{meter: u.m.Meter, r: summed}
		p, err := u.m.Client.PutPart(ctx, client.PartUpload{Session: u.head.Session, Number: i + 1, Size: n, Body: body})
		crc := summed.crc
		if err == nil && (p.Size != n || p.CRC64NVME != checksum.Encode(crc)) {
			err = fault.New(problem.Corrupt, "the server stored %d bytes with checksum %s as part %d, but %d bytes with checksum %s were sent",
				p.Size, p.CRC64NVME, i+1, n, checksum.Encode(crc)).WithHint("no wrong bytes became visible; check the network if it happens often")
		}
		if err != nil {
			body.takeBack()
			return err
		}
		u.progress.set(i, crc)
		_ = u.log.Add(journal.Entry{Part: i + 1, CRC: checksum.Encode(crc)}) // without it the next run reads the part again
		return nil
	})
	if fault.KindOf(err) == problem.NotFound && !errors.Is(err, os.ErrNotExist) {
		return errSessionGone
	}
	return err
}

// complete completes the session and compares the file that the server returns.
func (u *upload) complete(ctx context.Context) (f rest.File, err error) {
	size, whole := u.info.Size(), checksum.Encode(u.progress.whole())
	want := rest.CompleteSession{Size: &size, Parts: u.progress.refs(), Checksums: rest.PartsChecksum{CRC64NVME: whole}}
	f, err = u.m.complete(ctx, u.head.Session, want)
	switch {
	case fault.KindOf(err) == problem.NotFound:
		return rest.File{}, errSessionGone
	case err != nil:
		return rest.File{}, err
	}
	return f, u.m.confirm(ctx, f, size, whole)
}

// errChanged: the local file has changed since it was opened.
var errChanged = errors.New("the file changed while it was sent")

func changed(path string) error {
	return fault.New(problem.Conflict, "%v; nothing was stored", errChanged).
		WithHint("try again when no program writes to it, or store its present content: s3ctl put - s3://BUCKET/KEY < %s", path)
}

// unchanged checks that an open file still is as info says, and has no further bytes: errChanged. It moves the file's offset.
func unchanged(path string, f *os.File, info os.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return fromReading(path, err)
	}
	more, err := behind(f, info.Size())
	if err == nil && (more || fingerprintOf(now) != fingerprintOf(info)) {
		return errChanged
	}
	return fromReading(path, err)
}

// partReader reads exactly the bytes of a part.
type partReader struct {
	r    io.Reader
	left int64
	path string

	onLastByte func() // called with the last byte
}

// Read implements io.Reader. An early end is a *fault.Error that wraps errChanged.
func (r *partReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if r.left == 0 {
		r.onLastByte()
	}
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		return n, &fault.Error{Kind: problem.Conflict, Err: errChanged}
	case err != nil && !errors.Is(err, io.EOF):
		return n, fromReading(r.path, err)
	}
	return n, err
}

// metaOf is the metadata that is stored with a local file.
func metaOf(info os.FileInfo) map[string]string {
	return map[string]string{"mtime": info.ModTime().UTC().Format(time.RFC3339Nano)}
}
