package restapi

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// setLocation says where something that was just made can be found. path is its
// address on this server, percent-encoded. The header is relative to the address that was
// asked for, because only the client knows what that looks like from outside: a proxy may
// have put any prefix before it, and any host.
func setLocation(c echo.Context, path string) {
	c.Response().Header().Set(echo.HeaderLocation, relative(c.Request(), path))
}

// relative gives the reference that leads from the address of the request to path.
func relative(r *http.Request, path string) string {
	from, to := strings.Split(r.URL.EscapedPath(), "/"), strings.Split(path, "/")
	from = from[:len(from)-1] // a reference is resolved against what stands before the last slash
	same := 0
	for same < len(from) && same < len(to)-1 && from[same] == to[same] {
		same++
	}
	return strings.Repeat("../", len(from)-same) + strings.Join(to[same:], "/")
}
