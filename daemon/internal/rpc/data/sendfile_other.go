//go:build !linux

package data

import (
	"errors"
	"net"
	"syscall"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
)

// fileSender returns nil: units are read and written here.
func fileSender(net.Conn) syscall.RawConn { return nil }

func sendFile(syscall.RawConn, []byte, chunk.Range) error { return errors.ErrUnsupported }
