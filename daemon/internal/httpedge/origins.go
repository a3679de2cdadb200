package httpedge

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Origins are the origins of web pages that may use the API besides its own. The zero value has none.
type Origins struct{ allowed map[string]bool }

// ParseOrigins reads origins as browsers write them: scheme://host, with the port
// where it is not the scheme's own.
func ParseOrigins(list []string) (Origins, error) {
	o := Origins{allowed: map[string]bool{}}
	for _, text := range list {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != text || text != strings.ToLower(text) {
			return Origins{}, fmt.Errorf("%q is not an origin such as https://console.example.org (lower case, no path, no *)", text)
		}
		o.allowed[text] = true
	}
	return o, nil
}

// protection returns the check that refuses requests of pages of other origins.
func (o Origins) protection() *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	for origin := range o.allowed {
		if err := p.AddTrustedOrigin(origin); err != nil {
			panic(err) // ParseOrigins accepts only what this accepts
		}
	}
	return p
}

// OpenSurface is a surface that pages of any origin may use, because a header that it
// requires makes a browser send a preflight, and its answer "*" forbids the browser to add
// remembered credentials: the page must supply its own. tus is one.
type OpenSurface interface {
	// Serves reports whether the path is one of the surface's.
	Serves(path string) bool
	// SetCommonHeaders sets the headers of every response, including errors from before its handlers.
	SetCommonHeaders(h http.Header, r *http.Request)
	// Preflighted reports whether a browser must have sent a preflight before the request.
	Preflighted(r *http.Request) bool
}

// crossOrigin enforces what web pages of other origins may do. It runs before
// authentication, so that a page can read why it was refused.
//
// A browser adds remembered credentials to requests of any page. A page may read the
// response only with our permission, but a form can change data without it. So every
// request that changes something is refused if a page of another origin sends it, unless
// that origin is configured. The exception is the open surface.
func (e *edge) crossOrigin(c echo.Context) (answered bool, err error) {
	r, h := c.Request(), c.Response().Header()
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	h[echo.HeaderXContentTypeOptions] = noSniff
	if open := e.cfg.OpenSurface; open != nil && open.Serves(r.URL.Path) {
		open.SetCommonHeaders(h, r)
		if open.Preflighted(r) {
			return false, nil
		}
	} else if e.cfg.AllowedOrigins.allow(h, r) {
		return true, c.NoContent(http.StatusNoContent)
	}
	if e.protection.Check(r) != nil {
		return false, foreign(r)
	}
	return false, nil
}

// The values of two headers of every response; nothing may change them.
var sameOrigin, noSniff = []string{"same-origin"}, []string{"nosniff"}

// allow lets a page of a configured origin read the response, and reports whether the
// request is a preflight, which needs no more than these headers. Remembered credentials
// stay forbidden: Access-Control-Allow-Credentials is never sent.
func (o Origins) allow(h http.Header, r *http.Request) (preflight bool) {
	if len(o.allowed) == 0 {
		return false
	}
	h.Add(echo.HeaderVary, echo.HeaderOrigin)
	origin := r.Header.Get(echo.HeaderOrigin)
	if !o.allowed[origin] {
		return false
	}
	h.Set(echo.HeaderAccessControlAllowOrigin, origin)
	h.Set(echo.HeaderAccessControlExposeHeaders, "*")
	if r.Method != http.MethodOptions || r.Header.Get(echo.HeaderAccessControlRequestMethod) == "" {
		return false
	}
	h.Set(echo.HeaderAccessControlAllowMethods, "GET, HEAD, POST, PUT, PATCH, DELETE")
	if wanted := r.Header.Get(echo.HeaderAccessControlRequestHeaders); wanted != "" {
		h.Set(echo.HeaderAccessControlAllowHeaders, wanted)
	}
	h.Set(echo.HeaderAccessControlMaxAge, "600")
	return true
}

func foreign(r *http.Request) error {
	origin, hint := r.Header.Get(echo.HeaderOrigin), "Send it from a page of the gateway's own origin, or by a program."
	if _, err := ParseOrigins([]string{origin}); err == nil {
		hint = "If pages of that origin may do this, start the gateway with --allowed-origins " + origin + "."
	} else {
		origin = "another origin"
	}
	return store.Errorf(store.Denied, "a web page of %s sent this request", origin).WithHint("%s", hint)
}
