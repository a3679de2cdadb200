package syncer

import (
	"strconv"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/compare"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/rest"
)

// line is the --json line for a change that was made, or with --dry-run would be made.
type line struct {
	Action string `json:"action"` // put, get, copy or remove
	Source string `json:"source,omitempty"`
	Target string `json:"target"`
	Reason string `json:"reason"` // new, size, time, checksum or extra
	Size   int64  `json:"size"`
	FileID string `json:"file_id,omitempty"`
	CRC    string `json:"crc64nvme,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

func (l line) result() cli.Result {
	would := ""
	if l.DryRun {
		would = "would "
	}
	text := would + l.Action + " " + l.Source + " -> " + l.Target + "  " + term.Size(l.Size) + "  (" + l.Reason + ")"
	if l.Source == "" {
		text = would + l.Action + " " + l.Target
	}
	return cli.Result{JSON: l, Cells: []string{l.Action, l.Source, l.Target, l.Reason, strconv.FormatInt(l.Size, 10)}, Line: text}
}

func (s *Syncer) changeResult(c change, f rest.File) cli.Result {
	action := "copy"
	switch {
	case s.Source.Local():
		action = "put"
	case s.Target.Local():
		action = "get"
	}
	return line{
		Action: action, Source: s.Source.At(c.Name), Target: s.Target.At(c.Name), Reason: c.reason, Size: f.Size,
		FileID: f.FileID, CRC: f.Checksums.CRC64NVME, DryRun: s.DryRun,
	}.result()
}

func (s *Syncer) removedResult(e compare.Entry) cli.Result {
	l := line{Action: "remove", Target: s.Target.At(e.Name), Reason: "extra", Size: max(e.Size, 0), DryRun: s.DryRun}
	if e.File != nil {
		l.FileID = e.File.FileID
	}
	return l.result()
}

// lastLine is the last --json line.
type lastLine struct {
	Summary counts `json:"summary"`
}

type counts struct {
	Changed   int64 `json:"changed"`
	Removed   int64 `json:"removed"`
	Unchanged int64 `json:"unchanged"`
	Passed    int64 `json:"skipped"`
	Excluded  int64 `json:"excluded"`
	Failed    int64 `json:"failed"`
	Bytes     int64 `json:"bytes"`
}

func (s *Syncer) summary() {
	c := counts{s.changed.Load(), s.removed.Load(), s.unchanged.Load(), s.passed.Load(), s.excluded.Load(), s.failed.Load(), s.bytes.Load()}
	if s.Factory.Global.JSON {
		_ = s.Factory.ShowJSON(lastLine{c}) // a broken stream has already failed an earlier line
		return
	}
	form := "sync: %s changed (%s), %d removed, %d unchanged, %d failed%s"
	if s.DryRun {
		form = "sync (dry run): %s changed (%s), %d removed, %d unchanged, %d failed%s"
	}
	s.Report.Note(form, term.Count(int(c.Changed), "file"), term.Size(c.Bytes), c.Removed, c.Unchanged, c.Failed, c.others())
}

// others counts the names that were not compared, if any.
func (c counts) others() (text string) {
	if c.Passed > 0 {
		text += ", " + strconv.FormatInt(c.Passed, 10) + " skipped"
	}
	if c.Excluded > 0 {
		text += ", " + strconv.FormatInt(c.Excluded, 10) + " excluded"
	}
	return text
}
