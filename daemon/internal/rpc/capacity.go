package rpc

import (
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/store"
	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
)

// CapacityToWire converts what a node reports of its disk.
func CapacityToWire(c store.Capacity) *storagev1.Capacity {
	return &storagev1.Capacity{
		Total: c.Total, Used: c.Used, Free: c.Free, Chunks: c.Chunks,
		Disk: storagev1.DiskState(c.Disk.State), DiskReason: strings.ToValidUTF8(c.Disk.Reason, "\uFFFD"),
	}
}

// maxDiskReason bounds the text that a node reports about its disk, in bytes.
const maxDiskReason = 1 << 10

// CapacityFromWire is the inverse. It treats an unknown state of the disk as DiskFailing.
func CapacityFromWire(w *storagev1.Capacity) store.Capacity {
	c := store.Capacity{Total: w.GetTotal(), Used: w.GetUsed(), Free: w.GetFree(), Chunks: w.GetChunks()}
	c.Disk.State = store.DiskFailing
	if n := w.GetDisk(); n >= 0 && n <= storagev1.DiskState_DISK_STATE_FAILING {
		c.Disk.State = store.DiskState(n)
	}
	c.Disk.Reason = w.GetDiskReason()
	if len(c.Disk.Reason) > maxDiskReason {
		c.Disk.Reason = strings.ToValidUTF8(c.Disk.Reason[:maxDiskReason], "")
	}
	return c
}
