package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// version identifies the content of one write: it is the seed of its bytes. absent means no file.
type version uint64

const absent version = 0

func (v version) String() string {
	if v == absent {
		return "absent"
	}
	return fmt.Sprintf("%016x", uint64(v))
}

// history records, for each key, which versions it may show at which time, and detects reads that contradict that. It
// requires one writer for each key at a time; reads may overlap everything.
//
// An acknowledged write is the key's version from its answer on. A refused write never becomes visible. A write of
// unknown outcome may take effect until late has passed since its end, before or after writes that began later; until
// then both outcomes are possible.
//
// Safe for concurrent use.
type history struct {
	late  time.Duration
	start time.Time

	mu         sync.Mutex // guards what follows
	keys       map[string]*register
	sizes      map[version]int64
	moves      []move
	violations []string
}

// register is the history of one key.
type register struct {
	claims []*claim
	events []string
}

// claim is the possibility that a key shows a version.
type claim struct {
	key     string
	version version
	from    time.Time // when its write began
	latest  time.Time // when its write takes effect at the latest; zero while it is not answered
	until   time.Time // from when on it is impossible; zero: it is possible
	seen    time.Time // end of the first read that found it, zero: none

	// ifCurrent is a write that takes effect only on the version that was the key's when it began (a delete or rename
	// by the file's id): it can never undo a write that was acknowledged later.
	ifCurrent bool
}

// move is a rename of unknown outcome: exactly one of the two keys shows the version, unless a later write hides it.
type move struct {
	version  version
	from, to *claim // absent under the old name, the version under the new one
}

// eventsKept bounds the recorded events of one key.
const eventsKept = 80

func newHistory(late time.Duration, now time.Time) *history {
	return &history{late: late, start: now, keys: map[string]*register{}, sizes: map[version]int64{}}
}

func (h *history) register(key string) *register {
	r := h.keys[key]
	if r == nil {
		r = &register{claims: []*claim{{key: key, version: absent, from: h.start, latest: h.start}}}
		h.keys[key] = r
	}
	return r
}

// remember records the content length of a version; size returns it.
func (h *history) remember(v version, size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sizes[v] = size
}

func (h *history) size(v version) (int64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.sizes[v]
	return n, ok
}

// begin records that a write of v to key is being sent.
func (h *history) begin(key string, v version, ifCurrent bool, what string) *claim {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &claim{key: key, version: v, from: time.Now(), ifCurrent: ifCurrent}
	r := h.register(key)
	r.claims = append(r.claims, c)
	h.note(r, c.from, "%s %v begins", what, v)
	return c
}

// acknowledged records that the writes succeeded atomically.
func (h *history) acknowledged(claims ...*claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, c := range claims {
		r := h.register(c.key)
		c.latest = now
		for _, o := range r.claims {
			undone := o.landedBefore(c.from) || o.ifCurrent && !c.ifCurrent && o.from.Before(c.from)
			if o != c && o.until.IsZero() && undone {
				o.until = now
			}
		}
		h.note(r, now, "%v acknowledged", c.version)
		r.forget(now)
	}
}

// refused records that the writes have not taken effect and never will.
func (h *history) refused(why string, claims ...*claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, c := range claims {
		c.until = now
		r := h.register(c.key)
		h.note(r, now, "%v refused: %s", c.version, why)
		if !c.seen.IsZero() && c.version != absent {
			h.violate(r, "key %s showed %v, whose write was then refused: %s", c.key, c.version, why)
		}
	}
}

// unknown records that the outcome of the writes is unknown.
func (h *history) unknown(why string, claims ...*claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, c := range claims {
		c.latest = now.Add(h.late)
		if !c.seen.IsZero() {
			c.latest = c.seen
		}
		h.note(h.register(c.key), now, "%v has an unknown outcome: %s", c.version, why)
	}
}

// moved is unknown for a rename.
func (h *history) moved(why string, from, to *claim) {
	h.unknown(why, from, to)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moves = append(h.moves, move{version: to.version, from: from, to: to})
}

// read records that a read, from began to ended, found v under key.
func (h *history) read(key string, v version, began, ended time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.register(key)
	var found []*claim
	for _, c := range r.claims {
		if c.version == v && !c.from.After(ended) && (c.until.IsZero() || !c.until.Before(began)) {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		h.note(r, ended, "read %v, WRONG", v)
		h.violate(r, "key %s showed %v; possible was %v", key, v, r.possible(began, ended))
		return
	}
	if len(found) == 1 {
		c := found[0]
		if c.seen.IsZero() {
			c.seen = ended
			h.note(r, ended, "read %v", v)
		}
		if !c.latest.IsZero() && c.latest.After(ended) {
			c.latest = ended
		}
	}
	for _, c := range r.claims {
		if c.version != v && c.until.IsZero() && c.landedBefore(began) {
			c.until = ended
		}
	}
}

// onlyVersion returns the version of a key if it can show exactly one.
func (h *history) onlyVersion(key string) (version, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var only *claim
	for _, c := range h.register(key).claims {
		if !c.until.IsZero() {
			continue
		}
		if only != nil {
			return absent, false
		}
		only = c
	}
	return only.version, !only.latest.IsZero() && !only.latest.After(time.Now())
}

// openMoves returns the renames of unknown outcome that no later write to either key hides.
func (h *history) openMoves() []move {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.moves), func(m move) bool {
		return h.hidden(m.from) || h.hidden(m.to)
	})
}

// hidden reports whether a write to the claim's key began after the claim's.
func (h *history) hidden(c *claim) bool {
	return slices.ContainsFunc(h.register(c.key).claims, func(o *claim) bool { return o.from.After(c.from) })
}

// fail records a violation that the caller found.
func (h *history) fail(key, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violate(h.register(key), "key %s: "+format, append([]any{key}, args...)...)
}

// wrong returns all violations, each with the history of its key.
func (h *history) wrong() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.violations)
}

// names returns all keys that were written.
func (h *history) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for key := range h.keys {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

func (c *claim) landedBefore(t time.Time) bool { return !c.latest.IsZero() && c.latest.Before(t) }

func (r *register) possible(began, ended time.Time) (all []version) {
	for _, c := range r.claims {
		if !c.from.After(ended) && (c.until.IsZero() || !c.until.Before(began)) {
			all = append(all, c.version)
		}
	}
	return all
}

// forget drops claims that are too old for any read in progress.
func (r *register) forget(now time.Time) {
	r.claims = slices.DeleteFunc(r.claims, func(c *claim) bool {
		return !c.until.IsZero() && now.Sub(c.until) > 5*time.Minute
	})
}

// The caller of the following methods holds mu.

func (h *history) note(r *register, at time.Time, format string, args ...any) {
	if len(r.events) == eventsKept {
		r.events = slices.Delete(r.events, 0, eventsKept/2)
	}
	r.events = append(r.events, fmt.Sprintf("%8.3f s  ", at.Sub(h.start).Seconds())+fmt.Sprintf(format, args...))
}

func (h *history) violate(r *register, format string, args ...any) {
	h.violations = append(h.violations, fmt.Sprintf(format, args...)+"\n    "+strings.Join(r.events, "\n    "))
}
