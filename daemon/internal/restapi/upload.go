package restapi

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/engine"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

const (
	octetStream = "application/octet-stream"
	typeHint    = "Send multipart/form-data with a field named file, or the file's bytes with ?name= in the address and Content-Type " + octetStream + "."
)

// incoming is a file that is being uploaded, as a form or as a raw body.
type incoming struct {
	bucket      string
	name        string
	contentType string
	before      store.Before
	size        int64 // -1 when unknown
	most        int64 // upper bound in bytes where the size is unknown; 0: none
	body        io.Reader
}

// UploadFile implements POST /files.
func (a *api) UploadFile(c echo.Context, p rest.UploadFileParams) error {
	r := c.Request()
	want, err := httpedge.ExpectFile(c)
	if err != nil {
		return err
	}
	meta, err := metaOf(r.Header)
	if err != nil {
		return err
	}
	change, err := changeOf(c)
	if err != nil {
		return err
	}
	mediaType, params, err := contentType(r)
	if err != nil {
		return err
	}
	in := incoming{bucket: p.Bucket, name: p.Name}
	if mediaType == echo.MIMEMultipartForm {
		form, err := a.openForm(c, params["boundary"], &in)
		if err != nil {
			return err
		}
		defer form.close()
	} else if err := a.openRaw(c, mediaType, &in); err != nil {
		return err
	}
	change.Before = in.before
	if in.bucket == "" {
		in.bucket = store.DefaultBucket.String()
	}
	f, err := a.cfg.Engine.Put(r.Context(), engine.PutRequest{
		Change: change, Bucket: store.BucketName(in.bucket), Key: store.Key(in.name), Size: in.size, Most: in.most, ContentType: in.contentType, Meta: meta,
		WantSHA256: want.WantSHA256, Verify: func(s engine.Sums) error { return want.Verify(s.CRC64, s.SHA256) }, Body: in.body,
		Interrupt: httpedge.Interrupter(c),
	})
	if err != nil {
		return err
	}
	return stored(c, http.StatusCreated, f)
}

// stored writes the response for a file that just became visible.
func stored(c echo.Context, status int, f store.File) error {
	h := c.Response().Header()
	httpedge.SetLocation(c, "/files/"+f.ID.String())
	setETag(h, f)
	setChecksums(h, f)
	return httpedge.WriteJSON(c, status, fileOf(f))
}

// contentType reads the request's Content-Type, which tells a form from a raw body.
func contentType(r *http.Request) (string, map[string]string, error) {
	text := r.Header.Get(echo.HeaderContentType)
	if text == "" {
		return "", nil, store.Errorf(store.Invalid, "the request has no Content-Type").WithHint(typeHint)
	}
	if err := httpedge.CheckContentType("Content-Type", text); err != nil {
		return "", nil, err
	}
	mediaType, params, err := mime.ParseMediaType(text)
	if err != nil {
		return "", nil, err // CheckContentType has parsed it before
	}
	if strings.HasPrefix(mediaType, "multipart/") && mediaType != echo.MIMEMultipartForm {
		return "", nil, store.Errorf(store.Invalid, "Content-Type %s cannot be read here", mediaType).WithHint(typeHint)
	}
	return mediaType, params, nil
}

// openRaw uses the body as the file.
func (a *api) openRaw(c echo.Context, mediaType string, in *incoming) error {
	r := c.Request()
	if !c.QueryParams().Has("name") {
		return store.Errorf(store.Invalid, "Content-Type %s needs the file's name in the address", mediaType).WithHint(typeHint)
	}
	if r.ContentLength > a.cfg.MaxFileSize {
		return a.tooLarge()
	}
	in.contentType = r.Header.Get(echo.HeaderContentType)
	if mediaType == echo.MIMEApplicationForm {
		in.contentType = octetStream // curl's default for --data-binary, whatever the file
	}
	in.size, in.body = r.ContentLength, httpedge.Body(c)
	return nil
}

func (a *api) tooLarge() error {
	return store.Errorf(store.TooLarge, "the file is larger than the limit of %d bytes", a.cfg.MaxFileSize).
		WithLimit("file_size", 0).WithHint("Split the file, or raise the gateway's limit on file size.")
}
