package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

// upload is a large file on its way to the server, in parts.
type upload struct {
	m    *Mover
	f    *os.File
	info os.FileInfo
	path string
	dst  address.Remote

	log   *log // nil: nothing is remembered
	head  uploadHead
	tally *tally
}

// putParts sends an open file in parts. What an earlier run has brought over is not sent again.
func (m *Mover) putParts(ctx context.Context, path string, f *os.File, info os.FileInfo, dst address.Remote) (rest.File, error) {
	u := &upload{m: m, f: f, info: info, path: path, dst: dst}
	defer func() {
		if u.log != nil {
			u.log.close()
		}
	}()
	stored, err := u.resume(ctx)
	if stored.FileID != "" || err != nil {
		return stored, err
	}
	stored, err = u.send(ctx)
	for range 2 { // a session that ended under our hands is begun anew, but not for ever
		if err == nil || !errors.Is(err, errSessionGone) {
			break
		}
		m.note("%s: the upload's session is gone; starting anew", path)
		if err = u.begin(ctx); err == nil {
			stored, err = u.send(ctx)
		}
	}
	if err == nil && u.log != nil {
		u.log.remove()
	}
	return stored, err
}

// resume finds out what an earlier run has left, and begins a session where that
// is nothing that can be gone on with. It returns a file if that run was through to the end.
func (u *upload) resume(ctx context.Context) (rest.File, error) {
	l, entries, found, err := u.m.openUploadLog(u.path, u.dst.Bucket, u.dst.Key, &u.head)
	switch {
	case errors.Is(err, errGarbled):
		u.m.note("%s: %v; starting anew", u.path, err)
	case err == nil && l == nil:
		u.m.note("%s: this upload cannot be resumed if it is interrupted: there is no folder to record it in; set HOME or XDG_STATE_HOME", u.path)
	case errors.Is(err, errTaken), errors.Is(err, errNewer):
		return rest.File{}, err
	case err != nil:
		u.m.note("%s: this upload could not be resumed, as it cannot be remembered: %v", u.path, err)
	}
	u.log = l
	if !found {
		return rest.File{}, u.begin(ctx)
	}
	if u.head.Source != fingerprintOf(u.info) || !(cut{u.info.Size(), u.head.PartSize}).possible() {
		u.m.note("%s: the file has changed since its upload was interrupted; starting anew", u.path)
		u.abort(ctx)
		return rest.File{}, u.begin(ctx)
	}
	u.tally = newTally(cut{u.info.Size(), u.head.PartSize})
	known := u.tally.known(entries)
	var s rest.Session
	err = u.m.Retry.Do(ctx, func() (err error) { s, err = u.m.Store.Session(ctx, u.head.Session); return err })
	switch {
	case fault.KindOf(err) == "not_found":
		return u.wasCompleted(ctx, known)
	case err != nil:
		return rest.File{}, err
	}
	if err := u.reckon(ctx, s, known); err != nil {
		return rest.File{}, err
	}
	if bytes := u.tally.bytes(); bytes > 0 {
		u.m.note("%s: resuming, %s are there already", u.path, u.tally.progress())
		u.m.resumed(bytes)
	}
	return rest.File{}, nil
}

// reckon compares what the server has with what the parts are. Where the log does
// not know a part's checksum, the part is read here once more: that is faster than to send it.
func (u *upload) reckon(ctx context.Context, s rest.Session, known map[int]uint64) error {
	for _, p := range s.Parts {
		i := p.Number - 1
		if i >= u.tally.cut.count() {
			continue // not one of ours; the end leaves it out
		}
		off, n := u.tally.cut.span(i)
		crc, ok := known[i]
		if !ok {
			var err error
			if crc, _, err = sumOf(ctx, io.NewSectionReader(u.f, off, n)); err != nil {
				return fromReading(u.path, err)
			}
		}
		if p.Size == n && p.CRC64NVME == checksum.Encode(crc) {
			u.tally.set(i, crc)
		}
	}
	return nil
}

// sumOf computes the CRC64NVME of the n bytes that r gives.
func sumOf(ctx context.Context, r io.Reader) (crc uint64, n int64, err error) {
	buf, _ := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	for ctx.Err() == nil {
		got, err := r.Read(buf[:])
		crc = crc64nvme.Update(crc, buf[:got])
		n += int64(got)
		if errors.Is(err, io.EOF) {
			return crc, n, nil
		}
		if err != nil {
			return 0, n, err
		}
	}
	return 0, n, ctx.Err()
}

// wasCompleted deals with a session that is gone: the earlier run may have
// completed it without living to hear so. Otherwise a new one is begun.
func (u *upload) wasCompleted(ctx context.Context, known map[int]uint64) (rest.File, error) {
	for i, crc := range known {
		u.tally.set(i, crc)
	}
	if len(u.tally.missing()) == 0 {
		f, err := u.complete(ctx)
		if err == nil {
			u.m.note("%s: an earlier run had sent it all", u.path)
			u.m.resumed(f.Size)
			u.log.remove()
			return f, nil
		}
		if !errors.Is(err, errSessionGone) {
			return rest.File{}, err
		}
	}
	u.m.note("%s: the session of the earlier upload is gone; starting anew", u.path)
	return rest.File{}, u.begin(ctx)
}

// begin makes a session and remembers it before anything is sent.
func (u *upload) begin(ctx context.Context) error {
	size := u.info.Size()
	n := rest.NewSession{
		Bucket: u.dst.Bucket, Name: u.dst.Key, Size: &size, ContentType: cmp.Or(u.m.ContentType, contentType(u.path)), Meta: metaOf(u.info),
	}
	var s rest.Session
	if err := u.m.Retry.Do(ctx, func() (err error) { s, err = u.m.Store.CreateSession(ctx, n); return err }); err != nil {
		return err
	}
	u.head = uploadHead{
		head: head{uploadFormat, logVersion}, Session: s.SessionID, Endpoint: u.m.Store.Endpoint(), Bucket: u.dst.Bucket, Key: u.dst.Key,
		Path: u.path, Source: fingerprintOf(u.info), PartSize: u.m.Sizes.part(size, u.m.Lanes.most),
	}
	u.tally = newTally(cut{size, u.head.PartSize})
	if u.log == nil {
		return nil
	}
	if err := u.log.begin(u.head); err != nil {
		u.m.note("%s: this upload could not be resumed, as it cannot be remembered: %v", u.path, err)
		u.log.remove()
		u.log = nil
	}
	return nil
}

// errSessionGone: somebody aborted the session, or it expired.
var errSessionGone = errors.New("the upload's session is gone")

// send brings over what is missing, and makes it the file.
func (u *upload) send(ctx context.Context) (rest.File, error) {
	err := u.m.eachPart(ctx, u.tally.missing(), u.sendPart)
	if err == nil {
		err = u.unchanged()
	}
	var f rest.File
	if err == nil {
		f, err = u.complete(ctx)
	}
	switch {
	case err == nil:
		return f, nil
	case ctx.Err() != nil:
		return rest.File{}, interrupted(ctx, u.tally)
	case errors.Is(err, errChanged):
		u.abort(ctx)
		if u.log != nil {
			u.log.remove()
			u.log = nil
		}
		return rest.File{}, changed(u.path)
	case u.log == nil:
		u.abort(ctx) // nobody could go on with it
	case fault.ExitOf(err) == fault.Unavailable, fault.ExitOf(err) == fault.NoSpace:
		return rest.File{}, u.later(err)
	}
	return rest.File{}, err
}

// later adds to an error that may pass how to go on then.
func (u *upload) later(err error) error {
	e := &fault.Error{Kind: fault.KindOf(err), Err: err, Hint: fault.HintOf(err)}
	hint := "run the same command again to continue from here: " + u.tally.progress() + " are there"
	if e.Hint != "" {
		hint = e.Hint + "\n" + hint
	}
	e.Hint = hint
	return e
}

func (u *upload) sendPart(ctx context.Context, i int, first *lane) error {
	off, n := u.tally.cut.span(i)
	err := u.m.tryFrom(ctx, first, n, func(ctx context.Context, ln *lane) error {
		body := &metered{meter: u.m.Meter, r: &summer{r: u.m.limited(ctx, &partReader{r: io.NewSectionReader(u.f, off, n), left: n, path: u.path, through: ln.through})}}
		p, err := u.m.Store.PutPart(ctx, client.PartUpload{Session: u.head.Session, Number: i + 1, Size: n, Body: body})
		crc := body.r.(*summer).crc //nolint:forcetypeassert // made above
		if err == nil && (p.Size != n || p.CRC64NVME != checksum.Encode(crc)) {
			err = fault.New("corrupt", "the server has %d bytes with checksum %s of part %d, but %d bytes with %s were sent",
				p.Size, p.CRC64NVME, i+1, n, checksum.Encode(crc)).WithHint("nothing wrong became visible; check the network if it happens often")
		}
		if err != nil {
			body.takeBack()
			return err
		}
		u.tally.set(i, crc)
		u.remember(i, crc)
		return nil
	})
	if fault.KindOf(err) == "not_found" && !errors.Is(err, os.ErrNotExist) {
		return errSessionGone
	}
	return err
}

// remember spares the next run from reading the part once more to know its checksum;
// where that fails, it will read it.
func (u *upload) remember(i int, crc uint64) {
	if u.log != nil {
		_ = u.log.add(entry{i + 1, checksum.Encode(crc)})
	}
}

// complete makes the parts the file, and compares what the server then has.
func (u *upload) complete(ctx context.Context) (f rest.File, err error) {
	size, whole := u.info.Size(), checksum.Encode(u.tally.whole())
	want := rest.CompleteSession{Size: &size, Checksums: rest.PartsChecksum{CRC64NVME: whole}}
	for i := range u.tally.cut.count() {
		crc, _ := u.tally.get(i)
		want.Parts = append(want.Parts, rest.PartRef{Number: i + 1, CRC64NVME: checksum.Encode(crc)})
	}
	err = u.m.Retry.Do(ctx, func() (err error) {
		f, err = u.m.Store.CompleteSession(ctx, u.head.Session, want)
		return err
	})
	switch {
	case fault.KindOf(err) == "not_found":
		return rest.File{}, errSessionGone
	case err != nil:
		return rest.File{}, err
	}
	return f, u.m.confirm(ctx, f, size, whole)
}

// abort gives the session up, as far as the server can be reached.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = u.m.Store.AbortSession(ctx, u.head.Session) // it expires otherwise
}

// errChanged: the local file is not what it was when it was opened.
var errChanged = errors.New("the file changed while it was sent")

func changed(path string) error {
	return fault.New("conflict", "%v; nothing was stored", errChanged).
		WithHint("try again when no program writes to it, or store what it holds now: s3ctl put - s3://BUCKET/KEY < %s", path)
}

// unchanged looks whether the file is still the one that was sent, as it was, and has no byte behind those.
func (u *upload) unchanged() error {
	now, err := u.f.Stat()
	if err != nil {
		return fromReading(u.path, err)
	}
	more, err := behind(u.f, u.info.Size())
	switch {
	case err != nil:
		return fromReading(u.path, err)
	case more, fingerprintOf(now) != fingerprintOf(u.info):
		return errChanged
	}
	return nil
}

// partReader gives exactly the bytes that a part has.
type partReader struct {
	r    io.Reader
	left int64
	path string

	through func() // called with the last byte
}

// Read implements io.Reader. An end before the part's is a *fault.Error that wraps errChanged.
func (r *partReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if r.left == 0 {
		r.through()
	}
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		return n, &fault.Error{Kind: "conflict", Err: errChanged}
	case err != nil && !errors.Is(err, io.EOF):
		return n, fromReading(r.path, err)
	}
	return n, err
}

// metaOf is what is kept of a local file besides its bytes.
func metaOf(info os.FileInfo) map[string]string {
	return map[string]string{"mtime": info.ModTime().UTC().Format(time.RFC3339Nano)}
}
