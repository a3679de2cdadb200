package httpedge

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// SetLocation sets Location to a resource that was just created. path is its percent-encoded
// path on this server. The header is relative to the request's path, because only the
// client knows the URL from outside: a proxy may add any prefix and host.
func SetLocation(c echo.Context, path string) {
	c.Response().Header().Set(echo.HeaderLocation, relative(c.Request(), path))
}

// relative returns the relative reference from the request's path to path.
func relative(r *http.Request, path string) string {
	from, to := strings.Split(r.URL.EscapedPath(), "/"), strings.Split(path, "/")
	from = from[:len(from)-1] // a reference is resolved against the path up to its last slash
	same := 0
	for same < len(from) && same < len(to)-1 && from[same] == to[same] {
		same++
	}
	return strings.Repeat("../", len(from)-same) + strings.Join(to[same:], "/")
}
