package term

import (
	"bufio"
	"io"
	"strings"
)

// Column is the head of a column.
type Column struct {
	Title string
	Right bool // align right, for numbers
}

// Table writes rows: aligned under titles, if there are any, on a terminal, tab-separated without titles in a pipe. Cells are
// escaped with Clean. Rows are written at Flush, and in blocks before it, so that a table of any length takes little memory.
type Table struct {
	out     *bufio.Writer
	aligned bool
	columns []Column
	widths  []int
	rows    [][]string
	begun   bool
}

// blockRows is how many rows are aligned and written together on a terminal.
const blockRows = 500

// NewTable starts a table on standard output.
func (s *Streams) NewTable(columns ...Column) *Table {
	return newTable(s.Out, s.OutTTY, columns)
}

func newTable(w io.Writer, aligned bool, columns []Column) *Table {
	t := &Table{out: bufio.NewWriterSize(w, 32<<10), aligned: aligned, columns: columns, widths: make([]int, len(columns))}
	for i, c := range columns {
		t.widths[i] = width(c.Title)
	}
	return t
}

// Row adds a row with one cell for each column.
func (t *Table) Row(cells ...string) error {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = Clean(c)
	}
	if !t.aligned {
		_, err := t.out.WriteString(strings.Join(row, "\t") + "\n")
		return err
	}
	for i, c := range row {
		t.widths[i] = max(t.widths[i], width(c))
	}
	t.rows = append(t.rows, row)
	if len(t.rows) < blockRows {
		return nil
	}
	return t.Flush()
}

// Flush writes the rows added so far.
func (t *Table) Flush() error {
	if !t.begun && len(t.rows) > 0 {
		t.begun = true
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.Title
		}
		if strings.Join(titles, "") != "" {
			t.line(titles)
		}
	}
	for _, row := range t.rows {
		t.line(row)
	}
	t.rows = t.rows[:0]
	return t.out.Flush() // also returns the error of any earlier write
}

func (t *Table) line(cells []string) {
	var b strings.Builder
	for i, c := range cells {
		pad := strings.Repeat(" ", t.widths[i]-width(c))
		switch {
		case t.columns[i].Right:
			b.WriteString(pad + c)
		case i < len(cells)-1:
			b.WriteString(c + pad)
		default:
			b.WriteString(c)
		}
		if i < len(cells)-1 {
			b.WriteString("  ")
		}
	}
	_, _ = t.out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
}
