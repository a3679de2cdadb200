package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
)

// Result is one result in the three output formats.
type Result struct {
	JSON  any      // --json: one line; docs/json-output.md documents the fields
	Cells []string // in a pipe: one tab-separated line
	Line  string   // on a terminal: one line
	Size  int64    // bytes that the summary counts
}

// Show writes a result to standard output, in the format that applies.
func (f *Factory) Show(r Result) error {
	var err error
	switch {
	case f.Global.JSON:
		return f.ShowJSON(r.JSON)
	case f.IO.OutTTY:
		_, err = fmt.Fprintln(f.IO.Out, term.Clean(r.Line))
	default:
		cells := make([]string, len(r.Cells))
		for i, c := range r.Cells {
			cells[i] = term.Clean(c)
		}
		_, err = fmt.Fprintln(f.IO.Out, strings.Join(cells, "\t"))
	}
	return err
}

// Rows shows results as the rows of a table, or with --json as lines of JSON.
type Rows struct {
	f     *Factory
	table *term.Table
}

// Rows starts the results of a command.
func (f *Factory) Rows(columns ...term.Column) *Rows { return &Rows{f, f.IO.NewTable(columns...)} }

// Add shows a result: line with --json, and otherwise the cells, one for each column.
func (r *Rows) Add(line any, cells ...string) error {
	if r.f.Global.JSON {
		return r.f.ShowJSON(line)
	}
	return r.table.Row(cells...)
}

// Flush writes the rows added so far, also after err ended the results, and returns err or its own error.
func (r *Rows) Flush(err error) error { return cmp.Or(err, r.table.Flush()) }

// Size formats a number of bytes as 1.5 GiB on a terminal, and for programs otherwise.
func (f *Factory) Size(n int64) string {
	if f.IO.OutTTY {
		return term.Size(n)
	}
	return Number(n)
}

// Number formats a number for programs.
func Number(n int64) string { return strconv.FormatInt(n, 10) }

// Time formats a time for programs: RFC 3339 in UTC, always of the same width.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

// Moment formats a time for a terminal in local time, and for programs otherwise.
func (f *Factory) Moment(t time.Time) string {
	if f.IO.OutTTY {
		return t.Local().Format("2006-01-02 15:04:05")
	}
	return Time(t)
}

// ShowSuccess is Show for a result that --quiet hides.
func (f *Factory) ShowSuccess(r Result) error {
	if f.Global.Quiet && !f.Global.JSON {
		return nil
	}
	return f.Show(r)
}

// ShowJSON writes one line of JSON to standard output.
func (f *Factory) ShowJSON(v any) error { return writeJSON(f.IO.Out, v) }

func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(term.CleanJSON(b.Bytes()))
	return err
}

// Note writes a message that is neither a result nor an error to standard error, except with --quiet or --json.
func (f *Factory) Note(format string, args ...any) {
	if !f.Global.Quiet && !f.Global.JSON {
		fmt.Fprintln(f.IO.Err, "s3ctl: "+term.Clean(fmt.Sprintf(format, args...)))
	}
}

// errorJSON is the format of an error with --json.
type errorJSON struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Command  string     `json:"command"`
	Item     string     `json:"item,omitempty"`
	Code     string     `json:"code"`
	ExitCode fault.Exit `json:"exit_code"`
	Cause    string     `json:"cause"`
	Hint     string     `json:"hint,omitempty"`
	Server   string     `json:"server_hint,omitempty"`
}

// ShowError writes an error of a command to standard error: the cause, then on separate lines the server's hint, marked as
// the server's, and the next step; or with --json one line of JSON.
func (f *Factory) ShowError(command string, err error) {
	item := ""
	if e, ok := err.(*fault.Error); ok { //nolint:errorlint // only the outermost names the item
		item = e.Item
	}
	hint := fault.NextOf(err)
	text := term.Clean(err.Error())
	if f.Global.JSON {
		cause := strings.TrimPrefix(strings.TrimPrefix(err.Error(), item), ": ")
		_ = writeJSON(f.IO.Err, errorJSON{errorBody{
			Command: command, Item: item, Code: fault.KindOf(err).String(), ExitCode: fault.ExitOf(err), Cause: cause, Hint: hint, Server: fault.SaidOf(err),
		}})
		return
	}
	lead := "s3ctl: "
	switch {
	case command != "" && item != "":
		lead += command + " "
	case command != "":
		lead += command + ": "
	}
	fmt.Fprintln(f.IO.Err, lead+text)
	if said := fault.SaidOf(err); said != "" {
		fmt.Fprintln(f.IO.Err, "server says: "+term.Clean(said))
	}
	for line := range strings.Lines(hint) {
		fmt.Fprintln(f.IO.Err, "next: "+term.Clean(strings.TrimRight(line, "\n")))
	}
}
