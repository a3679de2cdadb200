package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
)

// EndsOptions are the options of head and tail.
type EndsOptions struct {
	Factory *cli.Factory
	cli.Selection
	Lines int64
	Bytes int64 // instead of lines; < 0: not given
}

// NewHead returns the command.
func NewHead(f *cli.Factory) *cobra.Command {
	return newEnds(f, "head", "first", (*EndsOptions).head)
}

// NewTail returns the command.
func NewTail(f *cli.Factory) *cobra.Command {
	return newEnds(f, "tail", "last", (*EndsOptions).tail)
}

// ends writes one end of an object.
type ends func(o *EndsOptions, ctx context.Context, m *transfer.Manager, object locate.Object, w io.Writer) error

func newEnds(f *cli.Factory, name, which string, write ends) *cobra.Command {
	o := &EndsOptions{Factory: f, Bytes: -1}
	cmd := &cobra.Command{
		Use:   name + " s3://BUCKET/KEY...",
		Short: "Write the " + which + " lines or bytes of objects to standard output",
		Long: "Write the " + which + ` lines of objects, or bytes with -c, to standard output. Only what is
needed is fetched, so that checksums of whole objects are not compared.` + cli.WildcardHelp,
		Example: "  s3ctl " + name + " s3://logs/today.log\n  s3ctl " + name + " -c 1K s3://logs/today.log",
		Args:    cli.List(&o.Addresses, 1),
		RunE: f.Run(o, func(ctx context.Context, _ *cobra.Command) error {
			return o.run(ctx, name, write)
		}),
	}
	o.Lines = 10
	lines := func(text string) (int64, error) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return 0, fault.New(problem.Usage, "%q is not a number of lines", text)
		}
		return n, nil
	}
	cmd.Flags().VarP(cli.NewValue("N", &o.Lines, lines, cli.Number), "lines", "n", "how many lines")
	cli.BytesFlagP(cmd, &o.Bytes, "bytes", "c", 0, "how many bytes instead, for example 500 or 1K")
	o.RawFlag(cmd)
	return cmd
}

func (o *EndsOptions) run(ctx context.Context, name string, write ends) error {
	search, err := o.Open(o.Factory, locate.Options{})
	if err != nil {
		return err
	}
	report := o.Factory.NewReport(name, "object")
	manager := report.Manager(search.Client)
	titles, first := len(search.Targets) > 1 || search.Many(), true
	return search.Each(ctx, report, func(object locate.Object) error {
		if titles && !o.Factory.Global.Quiet {
			if !first {
				fmt.Fprintln(o.Factory.IO.Out)
			}
			fmt.Fprintf(o.Factory.IO.Out, "==> %s <==\n", term.Clean(object.String())) // a broken stream fails below, too
		}
		first = false
		if object.File.Size == 0 {
			return nil
		}
		return write(o, ctx, manager, object, o.Factory.IO.Out)
	})
}

// step is how many bytes are fetched first to find lines in; each further step is twice as long.
const step = 64 << 10

func (o *EndsOptions) head(ctx context.Context, m *transfer.Manager, object locate.Object, w io.Writer) error {
	size := object.File.Size
	if o.Bytes >= 0 {
		size = min(size, o.Bytes)
	}
	lines := &firstLines{w: w, left: o.Lines, bytes: o.Bytes >= 0}
	for from, n := int64(0), int64(step); from < size && !lines.enough(); from, n = from+n, 2*n {
		if lines.bytes {
			n = size
		}
		err := m.GetRange(ctx, object.File, client.Range{First: from, Last: min(from+n, size) - 1}, lines)
		if err != nil {
			return err
		}
	}
	return nil
}

// firstLines passes lines on until there are enough, or all bytes.
type firstLines struct {
	w     io.Writer
	left  int64
	bytes bool
}

func (l *firstLines) enough() bool { return !l.bytes && l.left <= 0 }

// Write implements io.Writer; it takes the bytes that are not passed on, too.
func (l *firstLines) Write(p []byte) (int, error) {
	end := 0
	for end < len(p) && !l.enough() {
		next := bytes.IndexByte(p[end:], '\n')
		if l.bytes || next < 0 {
			end = len(p)
			break
		}
		end += next + 1
		l.left--
	}
	if _, err := l.w.Write(p[:end]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (o *EndsOptions) tail(ctx context.Context, m *transfer.Manager, object locate.Object, w io.Writer) error {
	size := object.File.Size
	from := max(size-max(o.Bytes, 0), 0)
	if o.Bytes < 0 {
		var err error
		if from, err = o.lastLines(ctx, m, object); err != nil {
			return err
		}
	}
	if from == size {
		return nil
	}
	return m.GetRange(ctx, object.File, client.Range{First: from, Last: -1}, w)
}

// lastLines returns the offset at which the last lines begin. It reads backwards and keeps one step in memory.
func (o *EndsOptions) lastLines(ctx context.Context, m *transfer.Manager, object locate.Object) (int64, error) {
	const most = 16 << 20
	left := o.Lines
	if left <= 0 {
		return object.File.Size, nil
	}
	for end, n := object.File.Size, int64(step); end > 0; n = min(2*n, most) {
		from := max(end-n, 0)
		var piece bytes.Buffer
		if err := m.GetRange(ctx, object.File, client.Range{First: from, Last: end - 1}, &piece); err != nil {
			return 0, err
		}
		data := piece.Bytes()
		if end == object.File.Size { // a newline at the very end ends the last line, and begins none
			data = bytes.TrimSuffix(data, []byte{'\n'})
		}
		for at := bytes.LastIndexByte(data, '\n'); at >= 0; at = bytes.LastIndexByte(data, '\n') {
			if left--; left == 0 {
				return from + int64(at) + 1, nil
			}
			data = data[:at]
		}
		end = from
	}
	return 0, nil
}
