package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// upload is the upload of a large file in parts.
type upload struct {
	resumable
	f    *os.File
	info os.FileInfo
	dst  address.Remote

	state *os.Root // folder of the log; nil: none
	head  uploadHead
}

// putParts sends an open file in parts. Parts that an earlier run stored are not sent again.
func (m *Manager) putParts(ctx context.Context, path string, f *os.File, info os.FileInfo, dst address.Remote) (rest.File, error) {
	u := &upload{resumable: resumable{m: m, path: path}, f: f, info: info, dst: dst}
	defer u.close()
	stored, err := u.resume(ctx)
	if stored.FileID != "" || err != nil {
		return stored, err
	}
	stored, err = u.send(ctx)
	for range 2 { // a session that expires or is aborted meanwhile is replaced, at most twice
		if err == nil || !errors.Is(err, errSessionGone) {
			break
		}
		u.note("the upload session no longer exists; starting from the beginning")
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
	entries, found, err := u.openLog()
	switch {
	case errors.Is(err, journal.ErrUnreadable):
		u.note("%v; starting from the beginning", err)
	case err == nil && u.log == nil:
		u.note("this upload cannot be resumed if it is interrupted, since there is no folder for its log: set HOME or XDG_STATE_HOME")
	case errors.Is(err, journal.ErrTaken), errors.Is(err, journal.ErrNewer):
		return rest.File{}, err
	case err != nil:
		u.note("this upload cannot be resumed if it is interrupted, since its log cannot be written: %v", err)
	}
	if !found {
		return rest.File{}, u.begin(ctx)
	}
	if u.head.Source != fingerprintOf(u.info) || !possible(u.head.Unit, u.info.Size()) {
		u.note("the file has changed since its upload was interrupted; starting from the beginning")
		u.m.abort(ctx, u.head.Session)
		return rest.File{}, u.begin(ctx)
	}
	u.progress = newPieces(u.info.Size(), u.head.Unit)
	known := knownOf(entries)
	s, err := retry.Try(ctx, u.m.Retry, func() (rest.Session, error) { return u.m.Client.Session(ctx, u.head.Session) })
	switch {
	case fault.KindOf(err) == problem.NotFound:
		return u.wasCompleted(ctx, known)
	case err != nil:
		return rest.File{}, err
	}
	if err := u.compareParts(ctx, s, known); err != nil {
		return rest.File{}, err
	}
	u.resuming()
	return rest.File{}, nil
}

// compareParts adds the parts that the server has stored with the right checksum. If the log does not have a part's checksum, the
// part is read again, which is faster than sending it.
func (u *upload) compareParts(ctx context.Context, s rest.Session, known map[int64]piece) error {
	for _, p := range s.Parts {
		one := piece{span: span{off: int64(p.Number-1) * u.progress.unit, n: p.Size}}
		if one.off < 0 || one.n <= 0 || one.n > u.progress.size-one.off {
			continue // not a part of this upload; complete does not list it
		}
		if logged, ok := known[one.off]; ok && logged.n == one.n {
			one.crc = logged.crc
		} else {
			var err error
			if one.crc, _, err = localfile.Sum(ctx, io.NewSectionReader(u.f, one.off, one.n)); err != nil {
				return fromReading(u.path, err)
			}
		}
		if p.CRC64NVME == checksum.Encode(one.crc) {
			u.progress.add(one)
		}
	}
	return nil
}

// wasCompleted handles a session that no longer exists: the earlier run may have completed it and ended before it
// received the answer. Otherwise it starts a new session.
func (u *upload) wasCompleted(ctx context.Context, known map[int64]piece) (rest.File, error) {
	for _, one := range known {
		u.progress.add(one)
	}
	if _, whole := u.progress.whole(); whole {
		f, err := u.complete(ctx)
		if err == nil {
			u.note("an earlier run had already completed this upload")
			u.m.Meter.Resumed(f.Size)
			u.log.Remove()
			return f, nil
		}
		if !errors.Is(err, errSessionGone) {
			return rest.File{}, err
		}
	}
	u.note("the session of the earlier upload no longer exists; starting from the beginning")
	return rest.File{}, u.begin(ctx)
}

// begin creates a session and records it before any part is sent.
func (u *upload) begin(ctx context.Context) error {
	size := u.info.Size()
	n := rest.NewSession{
		Bucket: u.dst.Bucket, Name: u.dst.Key, Size: &size, ContentType: cmp.Or(u.m.ContentType, contentType(u.path)), Meta: metaOf(u.info),
	}
	s, err := retry.Try(ctx, u.m.Retry, func() (rest.Session, error) { return u.m.Client.CreateSession(ctx, n) })
	if err != nil {
		return err
	}
	u.head = uploadHead{
		Head: journal.Head{Format: journal.Upload, Version: journal.Version}, Session: s.SessionID, Endpoint: u.m.Client.Endpoint(), Bucket: u.dst.Bucket, Key: u.dst.Key,
		Path: u.path, Source: fingerprintOf(u.info), Unit: u.m.Sizes.unit(size),
	}
	u.progress = newPieces(size, u.head.Unit)
	if err := u.log.Begin(u.head); err != nil {
		u.note("this upload cannot be resumed if it is interrupted, since its log cannot be written: %v", err)
		u.log.Remove()
		u.log = nil
	}
	return nil
}

// errSessionGone: the session was aborted, or it expired.
var errSessionGone = errors.New("the upload session no longer exists")

// send sends the missing parts and completes the session.
func (u *upload) send(ctx context.Context) (rest.File, error) {
	err := u.m.each(ctx, u.progress, u.m.Sizes.share(u.info.Size(), u.head.Unit, u.m.Lanes.most), u.sendPart)
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
	case errors.Is(err, errChanged):
		u.m.abort(ctx, u.head.Session)
		u.log.Remove()
		u.log = nil
		return rest.File{}, changed(u.path)
	case u.log == nil:
		u.m.abort(ctx, u.head.Session) // no later run could resume it
		return rest.File{}, err
	}
	return rest.File{}, u.stopped(ctx, err)
}

// sendPart sends the beginning of a span as a part: as much as is sent within partTime. It returns the rest.
func (u *upload) sendPart(ctx context.Context, s span, first *lane) (rest span, err error) {
	rest = s
	err = u.m.try(ctx, first, s.n, func(ctx context.Context, ln *lane) error {
		n, err := u.sendOnce(ctx, s, ln)
		rest = span{s.off + n, s.n - n}
		return err
	})
	if fault.KindOf(err) == problem.NotFound && !errors.Is(err, os.ErrNotExist) {
		err = errSessionGone
	}
	return rest, err
}

// sendOnce is one attempt of sendPart. It returns how many bytes are stored.
func (u *upload) sendOnce(ctx context.Context, s span, ln *lane) (int64, error) {
	part := &growing{
		path: u.path, r: io.NewSectionReader(u.f, s.off, s.n), left: s.n, unit: u.progress.unit, flow: u.m.Lanes.flow, streams: u.m.Lanes.most, ended: ln.sent,
	}
	if err := part.begin(ctx); err != nil {
		return 0, err
	}
	stored := int64(0)
	defer func() { part.end(stored) }()
	sum := crc64nvme.New()
	body := &metered{m: u.m, r: io.TeeReader(u.m.limited(ctx, part), sum)}
	p, err := u.m.Client.PutPart(ctx, client.PartUpload{Session: u.head.Session, Number: u.progress.number(s.off), Size: part.length(), Body: body})
	n, crc := body.n, sum.Sum64()
	if err == nil && (p.Size != n || p.CRC64NVME != checksum.Encode(crc)) {
		err = fault.New(problem.Corrupt, "the server stored %d bytes with checksum %s as part %d, but %d bytes with checksum %s were sent",
			p.Size, p.CRC64NVME, p.Number, n, checksum.Encode(crc)).WithHint("no wrong bytes became visible; check the network if it happens often")
	}
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			u.lost.Add(n)
		}
		body.takeBack()
		return 0, err
	}
	stored = n
	u.progress.record(piece{span{s.off, n}, crc})
	_ = u.log.Add(journal.Entry{Offset: s.off, Size: n, CRC: checksum.Encode(crc)}) // without it the next run reads the part again
	return n, nil
}

// growing is the body of a part, which ends once it has taken partTime, or more would be unsafe than may be: behind a whole number
// of units, or with the span. At a high rate its length is chosen in advance, as much as takes partTime: a body of known length
// costs both ends less.
type growing struct {
	path    string
	r       io.Reader
	left    int64 // bytes of the span
	unit    int64
	flow    *flow
	streams int    // that share the rate
	ended   func() // called before the end is returned

	began   time.Time
	n       int64 // bytes so far
	claimed int64
	fixed   bool // it does not grow beyond what is claimed
}

// fixedRate is the rate, in bytes a second, from which parts have a length in advance. When the rate falls under it all of a
// sudden, the parts in progress can be as long as partTime was at the rate before.
const fixedRate = 64e6

// begin waits until the part may begin. Errors: the context's.
func (g *growing) begin(ctx context.Context) error {
	g.claimed = min(g.unit, g.left)
	if rate := g.flow.storedRate(); rate >= fixedRate {
		each := int64(rate * partTime.Seconds() / float64(max(g.streams, 1)))
		g.claimed, g.fixed = min(max(each/g.unit, 1)*g.unit, g.left), true
	}
	if err := g.flow.begin(ctx, g.claimed); err != nil {
		g.claimed = 0
		return err
	}
	return nil
}

// length returns the bytes of the part, -1 if they are not known yet.
func (g *growing) length() int64 {
	if g.fixed {
		return g.claimed
	}
	return -1
}

// end is called after the part was acknowledged, or has failed with none of its bytes stored.
func (g *growing) end(stored int64) { g.flow.safe(g.claimed, stored) }

// Read implements io.Reader. Its errors are *fault.Error.
func (g *growing) Read(p []byte) (int, error) {
	if g.began.IsZero() {
		g.began = time.Now()
	}
	if g.n == g.claimed && !g.more() {
		g.ended()
		return 0, io.EOF
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.claimed-g.n)])
	g.n += int64(n)
	g.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && n == 0:
		return 0, errChanged
	case err != nil && !errors.Is(err, io.EOF):
		return n, fromReading(g.path, err)
	}
	return n, nil
}

// more claims another unit, if the part may grow.
func (g *growing) more() bool {
	n := min(g.unit, g.left)
	if g.fixed || n == 0 || time.Since(g.began) >= partTime || !g.flow.grow(n) {
		return false
	}
	g.claimed += n
	return true
}

// complete completes the session and compares the file that the server returns.
func (u *upload) complete(ctx context.Context) (f rest.File, err error) {
	crc, _ := u.progress.whole()
	size, whole := u.info.Size(), checksum.Encode(crc)
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

// metaOf is the metadata that is stored with a local file.
func metaOf(info os.FileInfo) map[string]string {
	return map[string]string{"mtime": info.ModTime().UTC().Format(time.RFC3339Nano)}
}

// uploadHead is the first line of an upload's log: it identifies the upload.
type uploadHead struct {
	journal.Head
	Session  string      `json:"session_id"`
	Endpoint string      `json:"endpoint"`
	Bucket   string      `json:"bucket"`
	Key      string      `json:"key"`
	Path     string      `json:"path"`
	Source   fingerprint `json:"source"`
	Unit     int64       `json:"unit"` // bytes: part n begins at (n-1) times it
}

// fingerprint detects that a local file has changed.
type fingerprint struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"` // Unix nanoseconds
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
}

func fingerprintOf(info fs.FileInfo) fingerprint {
	dev, ino := localfile.Identity(info)
	return fingerprint{Size: info.Size(), ModTime: info.ModTime().UnixNano(), Device: dev, Inode: ino}
}

// openLog opens the log of the upload; nil if Manager.State is not set.
func (u *upload) openLog() (entries []journal.Entry, found bool, err error) {
	if u.m.State == "" {
		return nil, false, nil
	}
	whole, err := filepath.Abs(u.path)
	if err != nil {
		return nil, false, fault.Local(err)
	}
	dir := filepath.Join(u.m.State, "uploads")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, fault.Local(err)
	}
	if u.state, err = os.OpenRoot(dir); err != nil {
		return nil, false, fault.Local(err)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{u.m.Client.Endpoint(), u.dst.Bucket, u.dst.Key, whole}, "\x00")))
	u.log, entries, found, err = journal.Open(u.state, hex.EncodeToString(sum[:16])+".jsonl", journal.Upload, &u.head)
	return entries, found, err
}

// close closes the log; it stays for a later run.
func (u *upload) close() {
	u.log.Close()
	if u.state != nil {
		_ = u.state.Close()
	}
}
