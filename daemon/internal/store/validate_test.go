package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	node := Node{ID: NewNodeID(), Name: "n1", Weight: 1}
	with := func(change func(*Node)) Node { n := node; change(&n); return n }
	for name, c := range map[string]struct {
		err error
		ok  bool
	}{
		"bucket":              {Bucket{Name: "photos", Survive: SurviveDefault}.Validate(), true},
		"bucket name":         {Bucket{Name: "A"}.Validate(), false},
		"bucket survive low":  {Bucket{Name: "photos", Survive: SurviveDefault - 1}.Validate(), false},
		"bucket survive high": {Bucket{Name: "photos", Survive: MaxSurvive + 1}.Validate(), false},
		"node":                {node.Validate(), true},
		"node id":             {with(func(n *Node) { n.ID = NodeID{} }).Validate(), false},
		"node name":           {with(func(n *Node) { n.Name = "" }).Validate(), false},
		"node weight":         {with(func(n *Node) { n.Weight = 0 }).Validate(), false},
		"objects":             {ObjectQuery{Limit: 1}.Validate(), true},
		"objects limit":       {ObjectQuery{}.Validate(), false},
		"files":               {FileQuery{Limit: MaxListLimit}.Validate(), true},
		"files limit":         {FileQuery{Limit: MaxListLimit + 1}.Validate(), false},
		"files offset":        {FileQuery{Limit: 1, Offset: -1}.Validate(), false},
		"files offset most":   {FileQuery{Limit: 1, Offset: MaxOffset}.Validate(), true},
		"files offset high":   {FileQuery{Limit: 1, Offset: MaxOffset + 1}.Validate(), false},
		"files state":         {FileQuery{Limit: 1, State: Failed + 1}.Validate(), false},
		"claim":               {ClaimQuery{Term: 1, Limit: 1, Hold: 1}.Validate(), true},
		"claim limit":         {ClaimQuery{Term: 1, Hold: 1}.Validate(), false},
		"claim hold":          {ClaimQuery{Term: 1, Limit: 1}.Validate(), false},
		"claim term":          {ClaimQuery{Limit: 1, Hold: 1}.Validate(), false},
	} {
		if c.ok {
			require.NoError(t, c.err, name)
		} else {
			require.ErrorIs(t, c.err, Invalid, name)
		}
	}
}
