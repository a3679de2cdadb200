package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

// Health returns the health of a gateway, also of one that cannot store files at present. It sends no access key.
// Invalid: the server is not a gateway.
func (c *Client) Health(ctx context.Context) (h rest.Health, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, "/health", nil)
	if err != nil {
		return h, err
	}
	req.Header.Del("Authorization") // the server may not be a gateway
	resp, err := c.http.Do(req)
	if err != nil {
		return h, c.translate(ctx, err)
	}
	defer drain(resp.Body)
	if resp.StatusCode/100 == 3 {
		return h, c.redirected(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return h, c.translate(ctx, err)
	}
	if json.Unmarshal(data, &h) != nil || !h.Status.Valid() {
		return h, fault.New(problem.Invalid, "%s is not a Ringstore gateway: it answered %s", c.base, resp.Status).
			WithHint("check host and port; the REST API of a gateway listens on port 8080 by default")
	}
	return h, nil
}
