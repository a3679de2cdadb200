package noderpc

import "time"

// NewImpatientServer is NewStorageServer with short deadlines and small quotas.
func NewImpatientServer(c StorageConfig, wait time.Duration, calls int) *Server {
	l := storageLimits()
	l.waits = waits{open: wait, control: wait, unit: wait, idle: wait}
	l.calls.each = calls
	return newStorageServer(c, l)
}

// MaxControl is the limit of requests without chunk data, in bytes.
const MaxControl = maxControl
