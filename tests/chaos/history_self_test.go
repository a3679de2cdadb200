package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The checker detects each kind of violation, and reports none in correct histories.
func TestHistory(t *testing.T) {
	t.Parallel()
	const key = "k"
	now := time.Now
	look := func(h *history, v version) { at := now(); h.read(key, v, at, now()) }
	put := func(h *history, v version) *claim { return h.begin(key, v, false, "put") }
	for name, c := range map[string]struct {
		wrong bool
		run   func(h *history)
	}{
		"nothing there":        {false, func(h *history) { look(h, absent) }},
		"acknowledged":         {false, func(h *history) { h.acknowledged(put(h, 1)); look(h, 1) }},
		"lost":                 {true, func(h *history) { h.acknowledged(put(h, 1)); look(h, absent) }},
		"in progress":          {false, func(h *history) { put(h, 1); look(h, absent); look(h, 1) }},
		"seen, then away":      {true, func(h *history) { put(h, 1); look(h, 1); look(h, absent) }},
		"old after new":        {true, func(h *history) { h.acknowledged(put(h, 1)); h.acknowledged(put(h, 2)); look(h, 1) }},
		"refused":              {false, func(h *history) { h.acknowledged(put(h, 1)); h.refused("", put(h, 2)); look(h, 1) }},
		"refused, yet visible": {true, func(h *history) { h.acknowledged(put(h, 1)); h.refused("", put(h, 2)); look(h, 2) }},
		"visible, then refused": {true, func(h *history) {
			c := put(h, 2)
			look(h, 2)
			h.refused("", c)
		}},
		"unknown, not done": {false, func(h *history) { h.acknowledged(put(h, 1)); h.unknown("", put(h, 2)); look(h, 1) }},
		"unknown, done":     {false, func(h *history) { h.acknowledged(put(h, 1)); h.unknown("", put(h, 2)); look(h, 2) }},
		"unknown, neither":  {true, func(h *history) { h.acknowledged(put(h, 1)); h.unknown("", put(h, 2)); look(h, absent) }},
		"unknown lands after a later write": {false, func(h *history) {
			h.unknown("", put(h, 2))
			h.acknowledged(put(h, 3))
			look(h, 3)
			look(h, 2)
		}},
		"unknown, seen, then replaced": {true, func(h *history) {
			h.unknown("", put(h, 2))
			look(h, 2)
			h.acknowledged(put(h, 3))
			look(h, 2)
		}},
		"deleted": {false, func(h *history) {
			h.acknowledged(put(h, 1))
			h.acknowledged(h.begin(key, absent, true, ""))
			look(h, absent)
		}},
		"deleted comes back": {true, func(h *history) {
			h.acknowledged(put(h, 1))
			h.acknowledged(h.begin(key, absent, true, ""))
			look(h, 1)
		}},
		"a late delete of the old file takes the new one": {true, func(h *history) {
			h.acknowledged(put(h, 1))
			h.unknown("", h.begin(key, absent, true, ""))
			h.acknowledged(put(h, 2))
			look(h, absent)
		}},
		"overlapping read of the old": {false, func(h *history) {
			h.acknowledged(put(h, 1))
			began := now()
			h.acknowledged(put(h, 2))
			h.read(key, 1, began, now())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(time.Hour, now())
			c.run(h)
			if c.wrong {
				require.NotEmpty(t, h.wrong())
			} else {
				require.Empty(t, h.wrong())
			}
		})
	}
}

// A write of unknown outcome cannot take effect after the limit late.
func TestHistoryLate(t *testing.T) {
	t.Parallel()
	h := newHistory(0, time.Now())
	h.unknown("", h.begin("k", 2, false, "put"))
	h.acknowledged(h.begin("k", 3, false, "put"))
	at := time.Now()
	h.read("k", 2, at, at)
	require.Len(t, h.wrong(), 1)
}
