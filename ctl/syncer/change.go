package syncer

import (
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/proto/rest"
)

// Change is a change of the target that was made, or in a dry run would be made. Its JSON is a line of s3ctl sync --json.
type Change struct {
	Action string `json:"action"` // put, get, copy or remove
	Source string `json:"source,omitempty"`
	Target string `json:"target"`
	Reason string `json:"reason"` // new, size, time, checksum or extra
	Size   int64  `json:"size"`
	FileID string `json:"file_id,omitempty"`
	CRC    string `json:"crc64nvme,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

func (s *Syncer) changed(c change, f rest.File) Change {
	action := "copy"
	switch {
	case s.Source.Local():
		action = "put"
	case s.Target.Local():
		action = "get"
	}
	return Change{
		Action: action, Source: s.Source.At(c.Name), Target: s.Target.At(c.Name), Reason: c.reason, Size: f.Size,
		FileID: f.FileID, CRC: f.Checksums.CRC64NVME, DryRun: s.DryRun,
	}
}

func (s *Syncer) removal(e compare.Entry) Change {
	c := Change{Action: "remove", Target: s.Target.At(e.Name), Reason: "extra", Size: max(e.Size, 0), DryRun: s.DryRun}
	if e.File != nil {
		c.FileID = e.File.FileID
	}
	return c
}

// Counts are the names of a run by what was done about them, and the bytes of what changed.
type Counts struct {
	Changed   int64 `json:"changed"`
	Removed   int64 `json:"removed"`
	Unchanged int64 `json:"unchanged"`
	Skipped   int64 `json:"skipped"`
	Excluded  int64 `json:"excluded"`
	Failed    int64 `json:"failed"`
	Bytes     int64 `json:"bytes"`
}
