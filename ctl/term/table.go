package term

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// Column is the head of a column.
type Column struct {
	Title string
	Right bool // numbers stand to the right
}

// Table writes rows: aligned under titles on a terminal, tab-separated and bare
// in a pipe. Cells are made safe with Clean. Rows are shown at Flush, and from
// time to time before it, so that a table of any length takes little memory.
type Table struct {
	out     *bufio.Writer
	aligned bool
	columns []Column
	widths  []int
	rows    [][]string
	begun   bool
}

// blockRows is how many rows are aligned together on a terminal.
const blockRows = 500

// NewTable begins a table on the result stream.
func (s *Streams) NewTable(columns ...Column) *Table {
	return newTable(s.Out, s.OutTTY, columns)
}

func newTable(w io.Writer, aligned bool, columns []Column) *Table {
	t := &Table{out: bufio.NewWriterSize(w, 32<<10), aligned: aligned, columns: columns, widths: make([]int, len(columns))}
	for i, c := range columns {
		t.widths[i] = utf8.RuneCountInString(c.Title)
	}
	return t
}

// Row adds a row with as many cells as there are columns.
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
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
	}
	t.rows = append(t.rows, row)
	if len(t.rows) < blockRows {
		return nil
	}
	return t.Flush()
}

// Flush shows the rows so far.
func (t *Table) Flush() error {
	if !t.begun && len(t.rows) > 0 {
		t.begun = true
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.Title
		}
		t.line(titles)
	}
	for _, row := range t.rows {
		t.line(row)
	}
	t.rows = t.rows[:0]
	return t.out.Flush() // reports what any write before it met
}

func (t *Table) line(cells []string) {
	var b strings.Builder
	for i, c := range cells {
		pad := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(c))
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
