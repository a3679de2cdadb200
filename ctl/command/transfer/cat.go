package transfer

import (
	"cmp"
	"context"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/locate"
)

// CatOptions are the options of cat.
type CatOptions struct {
	Factory *cli.Factory
	cli.Selection
	Range string
}

// NewCat returns the command.
func NewCat(f *cli.Factory) *cobra.Command {
	o := &CatOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "cat s3://BUCKET/KEY...",
		Short: "Write objects to standard output",
		Long: `Write objects to standard output, one after another. The checksum of each is compared at
its end: corrupt bytes have been written by then, and the exit code is 9.` + cli.WildcardHelp,
		Example: `  s3ctl cat s3://docs/notes.txt
  s3ctl cat --range 0-99 s3://docs/notes.txt    the first 100 bytes
  s3ctl cat --range -100 s3://docs/notes.txt    the last 100 bytes`,
		Args: cli.List(&o.Addresses, 1),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().StringVar(&o.Range, "range", "", "only these bytes of each: FIRST-LAST (both included, from 0), FIRST- or -COUNT")
	o.RawFlag(cmd)
	return cmd
}

func (o *CatOptions) run(ctx context.Context, cmd *cobra.Command) error {
	var rng *client.Range
	if o.Range != "" {
		r, ok := readRange(o.Range)
		if !ok {
			return cli.Usage(cmd, "range %q is not FIRST-LAST, FIRST- or -COUNT", o.Range)
		}
		rng = &r
	}
	search, err := o.Open(o.Factory, locate.Options{})
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("cat", "object")
	manager := report.Manager(search.Client)
	return search.Each(ctx, report, func(object locate.Object) error {
		task := report.Start(object.String(), object.File.Size) // no bar: the bytes may be written to the same terminal
		defer task.Leave(nil)
		manager := task.With(manager)
		if rng != nil {
			return manager.GetRange(ctx, object.File, *rng, o.Factory.IO.Out)
		}
		return manager.GetStream(ctx, object.File, o.Factory.IO.Out)
	})
}

var rangeForm = regexp.MustCompile(`^([0-9]*)-([0-9]*)$`)

// readRange parses a byte range in the syntax of HTTP.
func readRange(s string) (client.Range, bool) {
	m := rangeForm.FindStringSubmatch(s)
	if m == nil {
		return client.Range{}, false
	}
	first, err := strconv.ParseInt(cmp.Or(m[1], "-"+m[2]), 10, 64)
	if m[1] == "" {
		return client.Range{First: first}, err == nil && first < 0
	}
	last, failed := strconv.ParseInt(cmp.Or(m[2], "-1"), 10, 64)
	return client.Range{First: first, Last: last}, err == nil && failed == nil && (last < 0 || first <= last)
}
