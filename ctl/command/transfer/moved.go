package transfer

import (
	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/rest"
)

// moved is the --json line for a file that was uploaded or downloaded, or an object that was copied or renamed. With --dry-run
// there is no new file yet.
type moved struct {
	Source  string `json:"source"`
	Target  string `json:"target"`
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	FileID  string `json:"file_id,omitempty"`
	Size    int64  `json:"size"`
	CRC     string `json:"crc64nvme,omitempty"`
	Created string `json:"created_at,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// movedResult is the result for the file f, which is the object at.
func movedResult(source, target string, at address.Remote, f rest.File) cli.Result {
	line := moved{
		Source: source, Target: target, Bucket: at.Bucket, Key: at.Key, FileID: f.FileID, Size: f.Size,
		CRC: f.Checksums.CRC64NVME, Created: cli.Time(f.CreatedAt),
	}
	return line.result("")
}

// result is the result with the line; did precedes it on a terminal.
func (m moved) result(did string) cli.Result {
	return cli.Result{
		JSON:  m,
		Cells: []string{m.Source, m.Target, cli.Number(m.Size)},
		Line:  did + m.Source + " -> " + m.Target + "  " + term.Size(m.Size),
	}
}
