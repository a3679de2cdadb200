package object

import (
	"context"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/proto/rest"
)

// FindOptions are the options of find.
type FindOptions struct {
	Factory *cli.Factory
	cli.Selection
	Name            string
	Type            string
	Larger, Smaller int64 // bytes; NoSize: any
	Newer, Older    string
	Format
}

// NoSize means that a size was not given.
const NoSize = -1

// NewFind returns the command.
func NewFind(f *cli.Factory) *cobra.Command {
	o := &FindOptions{Factory: f, Larger: NoSize, Smaller: NoSize}
	cmd := &cobra.Command{
		Use:   "find s3://BUCKET[/PREFIX]...",
		Short: "Find objects by name, size, age and type",
		Long: `List the objects under a prefix that meet all conditions, in byte order of the keys, as
addresses for other commands. Finding none is not an error.

A TIME is an age (90s, 12h, 7d, 2w), a day (2026-01-31, from midnight local time) or a time
(2026-01-31T12:00:00Z). It is compared with the time at which the object was stored.` + cli.WildcardHelp + cli.RulesHelp,
		Example: `  s3ctl find s3://logs --older 30d
  s3ctl find s3://photos/2026 --name '*.jpg' --larger 10MiB
  s3ctl find s3://www --type 'text/*' --newer 2026-01-31`,
		Args: cli.List(&o.Addresses, 1),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "the part of the key after its last slash matches this pattern")
	cmd.Flags().StringVar(&o.Type, "type", "", "the content type matches this pattern")
	cli.BytesFlag(cmd, &o.Larger, "larger", 0, "larger than this, for example 500K, 10M or 1.5GiB")
	cli.BytesFlag(cmd, &o.Smaller, "smaller", 0, "smaller than this")
	cmd.Flags().StringVar(&o.Newer, "newer", "", "stored after this `TIME`")
	cmd.Flags().StringVar(&o.Older, "older", "", "stored before this `TIME`")
	o.Format.flags(cmd)
	o.RawFlag(cmd)
	cli.RulesFlags(cmd, &o.Rules)
	return cmd
}

func (o *FindOptions) run(ctx context.Context, cmd *cobra.Command) error {
	meets, err := o.conditions(cmd, time.Now())
	if err != nil {
		return err
	}
	search, err := o.Open(o.Factory, locate.Options{Recursive: true, MayLack: true})
	if err != nil {
		return err
	}
	list := newListing(o.Factory, search, o.Format)
	for _, t := range search.Targets {
		for object, err := range search.In(ctx, t) {
			if err == nil && meets(object.File) {
				err = list.object(object.File)
			}
			if err != nil {
				return list.rows.Flush(err)
			}
		}
	}
	return list.rows.Flush(nil)
}

// conditions combines the conditions of all flags.
func (o *FindOptions) conditions(cmd *cobra.Command, now time.Time) (func(rest.File) bool, error) {
	name, err := readPattern(o.Name)
	if err != nil {
		return nil, err
	}
	kind, err := readPattern(o.Type)
	if err != nil {
		return nil, err
	}
	var newer, older time.Time
	for text, at := range map[*string]*time.Time{&o.Newer: &newer, &o.Older: &older} {
		var ok bool
		if *at, ok = readMoment(*text, now); !ok {
			return nil, cli.Usage(cmd, "%q is not a time such as 7d, 2026-01-31 or 2026-01-31T12:00:00Z", *text)
		}
	}
	return func(f rest.File) bool {
		return (name == nil || name.Match(address.Base(f.Name))) && (kind == nil || kind.Match(f.ContentType)) &&
			(o.Larger == NoSize || f.Size > o.Larger) && (o.Smaller == NoSize || f.Size < o.Smaller) &&
			(newer.IsZero() || f.CreatedAt.After(newer)) && (older.IsZero() || f.CreatedAt.Before(older))
	}, nil
}

// readPattern parses a pattern; "" means none.
func readPattern(text string) (*address.Pattern, error) {
	if text == "" {
		return nil, nil
	}
	p, err := address.Compile(text)
	return &p, err
}

var ageForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(s|m|h|d|w)$`)

// readMoment parses an age, a day or a time; "" means the zero time.
func readMoment(text string, now time.Time) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	if m := ageForm.FindStringSubmatch(text); m != nil {
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[m[2]]
		n, err := strconv.ParseFloat(m[1], 64)
		age := n * float64(unit)
		return now.Add(-time.Duration(min(age, math.MaxInt64/2))), err == nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return at, true
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}
