package object

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringstore/ringstore/ctl/address"
	"github.com/ringstore/ringstore/ctl/cli"
	"github.com/ringstore/ringstore/ctl/locate"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/rest"
)

// StatOptions are the options of stat.
type StatOptions struct {
	Factory *cli.Factory
	cli.Selection
	Long bool
}

// NewStat returns the command.
func NewStat(f *cli.Factory) *cobra.Command {
	o := &StatOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "stat s3://BUCKET/KEY...",
		Short: "Show the metadata of objects, and where their bytes are stored",
		Long: `Show size, type, times and checksums of objects, how much of them each node stores,
and which failures they survive at present: unreachable nodes do not count. With -l,
show each chunk.` + cli.WildcardHelp,
		Args: cli.List(&o.Addresses, 1),
		RunE: f.Run(o, o.run),
	}
	cmd.Flags().BoolVarP(&o.Long, "long", "l", false, "show each chunk, and not only the sum of each node")
	o.RawFlag(cmd)
	return cmd
}

func (o *StatOptions) run(ctx context.Context, _ *cobra.Command) error {
	search, err := o.Open(o.Factory, locate.Options{})
	if err != nil {
		return err
	}
	report := o.Factory.NewReport("stat", "object")
	first := true
	return search.Each(ctx, report, func(object locate.Object) error {
		m, err := search.Client.Metadata(ctx, object.File.FileID)
		if err != nil {
			return err
		}
		if !first && o.Factory.IO.OutTTY && !o.Factory.Global.JSON {
			fmt.Fprintln(o.Factory.IO.Out)
		}
		first = false
		return o.show(m)
	})
}

// described is the --json line for stat: the metadata of the REST API, the address, and the safety.
type described struct {
	Address string `json:"address"`
	Safety  string `json:"safety"`
	rest.FileMetadata
}

func (o *StatOptions) show(m rest.FileMetadata) error {
	name := address.Remote{Bucket: m.Bucket, Key: m.Name}.String()
	if o.Factory.Global.JSON {
		return o.Factory.ShowJSON(described{Address: name, Safety: safety(m), FileMetadata: m})
	}
	facts := [][2]string{
		{"address", name},
		{"size", cli.Number(m.Size)},
		{"type", m.ContentType},
		{"status", string(m.Status)},
		{"created", o.Factory.Moment(m.CreatedAt)},
		{"completed", o.Factory.Moment(m.CompletedAt)},
		{"file id", m.FileID},
		{"etag", m.ETag},
		{"crc64nvme", m.Checksums.CRC64NVME},
		{"sha256", m.Checksums.SHA256},
	}
	if o.Factory.IO.OutTTY {
		facts[1][1] = term.Size(m.Size)
		if m.Size >= 1024 {
			facts[1][1] += " (" + cli.Number(m.Size) + " bytes)"
		}
	}
	if err := o.showFacts(facts); err != nil {
		return err
	}
	show := o.showNodes
	if o.Long {
		show = o.showChunks
	}
	if len(m.Parts) > 0 {
		o.gap()
		if err := show(m); err != nil {
			return err
		}
		o.gap()
	}
	return o.showFacts([][2]string{{"safety", safety(m)}})
}

// gap separates tables on a terminal.
func (o *StatOptions) gap() {
	if o.Factory.IO.OutTTY {
		fmt.Fprintln(o.Factory.IO.Out)
	}
}

// showFacts shows names and values, without those that are empty.
func (o *StatOptions) showFacts(facts [][2]string) error {
	out := o.Factory.IO.NewTable(term.Column{}, term.Column{})
	for _, fact := range facts {
		if fact[1] != "" {
			_ = out.Row(fact[0], fact[1]) // an error is returned by Flush, too
		}
	}
	return out.Flush()
}

// share is what a node stores of a file.
type share struct {
	node, zone, state string
	chunks            int
	bytes             int64
}

// shares sums up the chunks by node and state, ordered so that node-2 comes before node-10.
func shares(m rest.FileMetadata) (all []*share) {
	known := map[[2]string]*share{}
	for _, part := range m.Parts {
		for _, chunk := range part.Chunks {
			key := [2]string{chunk.NodeID, stateOf(chunk)}
			s := known[key]
			if s == nil {
				s = &share{node: cmp.Or(chunk.Node, "-"), zone: cmp.Or(chunk.Zone, "-"), state: key[1]}
				known[key] = s
				all = append(all, s)
			}
			s.chunks++
			s.bytes += chunk.Bytes
		}
	}
	slices.SortStableFunc(all, func(a, b *share) int {
		return cmp.Or(cmp.Compare(len(a.node), len(b.node)), strings.Compare(a.node, b.node))
	})
	return all
}

// showNodes shows the sum of each node.
func (o *StatOptions) showNodes(m rest.FileMetadata) error {
	table := o.Factory.IO.NewTable(
		term.Column{Title: "NODE"}, term.Column{Title: "ZONE"}, term.Column{Title: "CHUNKS", Right: true}, term.Column{Title: "BYTES", Right: true},
		term.Column{Title: "STATE"},
	)
	for _, s := range shares(m) {
		if err := table.Row(s.node, s.zone, strconv.Itoa(s.chunks), o.Factory.Size(s.bytes), s.state); err != nil {
			return err
		}
	}
	return table.Flush()
}

// stateOf describes whether a chunk can be read.
func stateOf(chunk rest.Chunk) string {
	switch {
	case chunk.NodeID == "":
		return "missing, queued for repair"
	case !chunk.Reachable:
		return "not reachable"
	}
	return "reachable"
}

// showChunks shows the table of chunk locations.
func (o *StatOptions) showChunks(m rest.FileMetadata) error {
	table := o.Factory.IO.NewTable(
		term.Column{Title: "PART", Right: true}, term.Column{Title: "CHUNK"}, term.Column{Title: "ROLE"}, term.Column{Title: "BYTES", Right: true},
		term.Column{Title: "NODE"}, term.Column{Title: "ZONE"}, term.Column{Title: "STATE"},
	)
	for _, part := range m.Parts {
		for i, chunk := range part.Chunks {
			err := table.Row(strconv.Itoa(part.Number), strconv.Itoa(i), string(chunk.Role), o.Factory.Size(chunk.Bytes), cmp.Or(chunk.Node, "-"),
				cmp.Or(chunk.Zone, "-"), stateOf(chunk))
			if err != nil {
				return err
			}
		}
	}
	return table.Flush()
}

// safety describes which failures the file survives.
func safety(m rest.FileMetadata) string {
	if m.Status != rest.StatusCompleted {
		return "not stored: its upload is " + string(m.Status)
	}
	nodes, missing, away := countNodes(m)
	text := ""
	switch {
	case m.Survives < 0:
		return "cannot be read now: too many of its nodes are unreachable"
	case m.Size == 0 && nodes == 0:
		return "empty: there are no bytes to lose"
	case m.Survives == 0 && nodes == 1:
		text = "does not survive the failure of its one node"
	case m.Survives == 0:
		text = fmt.Sprintf("does not survive the failure of any of its %d nodes", nodes)
	case m.Survives == 1:
		text = fmt.Sprintf("survives any one of its %d nodes failing", nodes)
	default:
		text = fmt.Sprintf("survives any %d of its %d nodes failing", m.Survives, nodes)
	}
	if m.Survives < m.Wanted {
		text += fmt.Sprintf("; its bucket requires %d", m.Wanted)
	}
	if away > 0 {
		text += fmt.Sprintf("; %s not reachable", term.Count(away, "chunk"))
	}
	if missing > 0 {
		text += fmt.Sprintf("; %s queued for repair", term.Count(missing, "chunk"))
	}
	return text
}

// countNodes counts the reachable nodes that hold chunks of the file, the chunks without a node, and those on unreachable
// nodes.
func countNodes(m rest.FileMetadata) (nodes, missing, away int) {
	seen := map[string]bool{}
	for _, part := range m.Parts {
		for _, c := range part.Chunks {
			switch {
			case c.NodeID == "":
				missing++
			case !c.Reachable:
				away++
			case !seen[c.NodeID]:
				seen[c.NodeID] = true
				nodes++
			}
		}
	}
	return nodes, missing, away
}
