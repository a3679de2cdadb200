package transfer

import (
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/syncer"
	"github.com/ringstore/ringstore/ctl/term"
)

// syncView shows a run of sync.
type syncView struct {
	*cli.Report
	term.Progress
	f        *cli.Factory
	question string // what it asks before it removes files
}

// Close is ambiguous between the report and the progress, and the report closes both.
func (v *syncView) Close() error { return v.Report.Close() }

// Changed shows a change.
func (v *syncView) Changed(c syncer.Change) { v.Done(changeResult(c)) }

// Confirm asks whether so many files may be removed.
func (v *syncView) Confirm(files int) bool {
	yes, err := false, error(nil)
	v.Above(func() {
		yes, err = v.f.IO.Confirm("Remove " + term.Count(files, "file") + " " + v.question + "?")
	})
	return yes && err == nil
}

func changeResult(c syncer.Change) cli.Result {
	would := ""
	if c.DryRun {
		would = "would "
	}
	text := would + c.Action + " " + c.Source + " -> " + c.Target + "  " + term.Size(c.Size) + "  (" + c.Reason + ")"
	if c.Source == "" {
		text = would + c.Action + " " + c.Target
	}
	return cli.Result{JSON: c, Cells: []string{c.Action, c.Source, c.Target, c.Reason, cli.Number(c.Size)}, Line: text}
}

// lastLine is the last --json line.
type lastLine struct {
	Summary syncer.Counts `json:"summary"`
}

func (v *syncView) summary(c syncer.Counts, dryRun bool) {
	if v.f.Global.JSON {
		_ = v.f.ShowJSON(lastLine{c}) // a broken stream has already failed an earlier line
		return
	}
	form := "sync: %s changed (%s), %d removed, %d unchanged, %d failed%s"
	if dryRun {
		form = "sync (dry run): %s changed (%s), %d removed, %d unchanged, %d failed%s"
	}
	v.Note(form, term.Count(int(c.Changed), "file"), term.Size(c.Bytes), c.Removed, c.Unchanged, c.Failed, uncompared(c))
}

// uncompared describes the names that were not compared, if any.
func uncompared(c syncer.Counts) (text string) {
	if c.Skipped > 0 {
		text += ", " + cli.Number(c.Skipped) + " skipped"
	}
	if c.Excluded > 0 {
		text += ", " + cli.Number(c.Excluded) + " excluded"
	}
	return text
}
