package client

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/proto/rest"
)

// maxRetryAfter bounds how long a server may make us wait.
const maxRetryAfter = time.Minute

// refusal makes a fault of an answer that is not a success.
func (c *Client) refusal(resp *http.Response) error {
	e := &fault.Error{RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}
	var p rest.Problem
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	isProblem := strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json")
	if err == nil && isProblem && json.Unmarshal(data, &p) == nil && p.Code != "" {
		e.Kind, e.Msg, e.Hint = string(p.Code), p.Detail, p.Hint
	} else {
		// Something between us and the gateway, or no gateway at all, answered.
		e.Kind, e.Msg = kindOfStatus(resp.StatusCode), c.base+" answered "+resp.Status
		e.Hint = "check that the endpoint of the profile is a Ringstore gateway: s3ctl profile ls"
	}
	if e.Msg == "" {
		e.Msg = p.Title
	}
	if e.Kind == "denied" && resp.StatusCode == http.StatusUnauthorized && e.Hint == "" {
		e.Hint = "check the access key and secret of the profile: s3ctl profile add"
	}
	return e
}

// kindOfStatus is for answers that carry no problem document.
func kindOfStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "denied"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusRequestedRangeNotSatisfiable:
		return "out_of_range"
	case http.StatusInsufficientStorage:
		return "no_space"
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "unavailable"
	}
	return "internal"
}

// retryAfter reads the header: seconds, or a date, which a wrong clock would
// make useless and is passed over.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}
