package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/rest"
)

// Health asks a gateway how it is, for which no key is needed. One that cannot store files
// now answers, too. Invalid: what answers there is no gateway.
func (c *Client) Health(ctx context.Context) (h rest.Health, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, "/health", nil, nil)
	if err != nil {
		return h, err
	}
	req.Header.Del("Authorization") // who answers is not known yet
	resp, err := c.http.Do(req)
	if err != nil {
		return h, c.translate(ctx, err)
	}
	defer finish(resp.Body)
	if resp.StatusCode/100 == 3 {
		return h, c.redirected(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return h, c.translate(ctx, err)
	}
	if json.Unmarshal(data, &h) != nil || !h.Status.Valid() {
		return h, fault.New("invalid", "%s is no Ringstore gateway: it answered %s", c.base, resp.Status).
			WithHint("check host and port; the REST API of a gateway listens on 8080 where nothing else was said")
	}
	return h, nil
}
