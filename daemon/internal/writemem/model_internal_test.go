package writemem

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// machine drives a pool without goroutines, one call after the other, and keeps its own
// account of what each upload holds.
type machine struct {
	pool *Pool
	open []*Upload    // with a stripe, waiting or not
	lent []lentBuffer // buffers of completed stripes: nodes return them at any time
	unit int64
}

type lentBuffer struct {
	area *area
	who  *caller
	n    int64
}

func (m *machine) areas() []*area {
	if m.pool.small == nil {
		return []*area{m.pool.large}
	}
	return []*area{m.pool.small, m.pool.large}
}

// begin opens a stripe that needs some units, or a small upload that needs part of one.
func (m *machine) begin(t *rapid.T) {
	small := rapid.Bool().Draw(t, "small")
	c := Client{Caller: fmt.Sprint("key-", rapid.IntRange(1, 4).Draw(t, "caller")), Most: -1}
	need := m.unit * int64(rapid.IntRange(1, 10).Draw(t, "units"))
	if small {
		need = int64(Class(rapid.IntRange(1, int(m.unit)).Draw(t, "bytes")))
		c.Most = need
	}
	u := m.pool.Open(c)
	require.NoError(t, u.Begin(int(need)))
	m.open = append(m.open, u)
	m.ask(t, u)
}

// ask takes the next memory of a stripe; one that has all is completed.
func (m *machine) ask(t *rapid.T, u *Upload) {
	p, s := m.pool, &u.stripe
	if s.taken == s.need {
		m.complete(u)
		return
	}
	n := min(m.unit, s.need-s.taken)
	if u.small {
		n = int64(rapid.IntRange(1, int(s.need-s.taken)).Draw(t, "first bytes"))
	}
	if s.area == nil {
		p.began++
		s.order = p.began
		p.choose(u, n).open(u)
	}
	s.area.ask(u, n)
}

func (m *machine) complete(u *Upload) {
	if u.stripe.taken > 0 {
		m.lent = append(m.lent, lentBuffer{u.stripe.area, u.stripe.who, u.stripe.taken})
	}
	m.drop(u)
}

// abort ends an upload wherever it is; what it held returns at once.
func (m *machine) abort(u *Upload) {
	s := u.stripe
	s.area.leave(u)
	s = u.stripe
	m.drop(u)
	if s.taken > 0 {
		s.area.returned(s.who, s.taken)
	}
}

func (m *machine) drop(u *Upload) {
	u.Finish()
	for i, o := range m.open {
		if o == u {
			m.open = append(m.open[:i], m.open[i+1:]...)
			return
		}
	}
}

func (m *machine) ready() (ready []*Upload) {
	for _, u := range m.open {
		if u.want == 0 {
			ready = append(ready, u)
		}
	}
	return ready
}

func (m *machine) giveBack(i int) {
	l := m.lent[i]
	m.lent = append(m.lent[:i], m.lent[i+1:]...)
	l.area.returned(l.who, l.n)
}

func (m *machine) check(t *rapid.T) {
	for _, u := range m.open {
		select {
		case <-u.granted: // nil where it never waited
		default:
		}
	}
	for _, a := range m.areas() {
		held, promised, byCaller := int64(0), int64(0), map[*caller]int64{}
		for _, u := range m.open {
			if u.stripe.area == a {
				held += u.stripe.taken
				promised += u.stripe.promised
				byCaller[u.stripe.who] += u.stripe.taken
			}
		}
		for _, l := range m.lent {
			if l.area == a {
				held += l.n
				byCaller[l.who] += l.n
			}
		}
		require.Equal(t, held, a.lent)
		require.Equal(t, promised, a.promised)
		require.LessOrEqual(t, a.lent+a.promised, a.size, "never over budget, and every promise can be kept")
		for _, c := range a.callers {
			require.Equal(t, byCaller[c], c.held)
		}
		m.checkSafe(t, a)
		m.checkServed(t, a)
	}
}

// checkSafe is the safety check of the banker's algorithm, by trial: is there an order in
// which all open stripes can be completed?
func (m *machine) checkSafe(t *rapid.T, a *area) {
	free := a.size
	var left []stripe
	for _, u := range m.open {
		if u.stripe.area == a {
			left = append(left, u.stripe)
			free -= u.stripe.taken
		}
	}
	for len(left) > 0 {
		next := -1
		for i, s := range left {
			if s.need-s.taken <= free {
				next = i
				break
			}
		}
		require.NotEqual(t, -1, next, "%d stripes can never be completed", len(left))
		free += left[next].taken
		left = append(left[:next], left[next+1:]...)
	}
}

// checkServed requires that no memory is unused while an upload waits, and that a caller other
// than the waiting ones can act, so that no upload waits forever.
func (m *machine) checkServed(t *rapid.T, a *area) {
	waiting, acting := 0, 0
	for _, u := range m.open {
		if u.stripe.area == a && u.want > 0 {
			waiting++
			require.Zero(t, u.stripe.promise, "a promise is kept at once")
		} else if u.stripe.area == a {
			acting++
		}
	}
	for _, l := range m.lent {
		if l.area == a {
			acting++
		}
	}
	if waiting == 0 {
		require.Empty(t, a.waiting)
		return
	}
	require.Positive(t, acting, "all %d stripes wait for each other", waiting)
	require.False(t, a.ordinary(a.poorest().want), "memory is free and the poorest caller waits")
}

// TestNoDeadlock_Model runs random histories, and at their end lets every stripe be completed.
func TestNoDeadlock_Model(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const unit = 256
		budget := int64(rapid.IntRange(20, 100).Draw(t, "units")) * unit
		m := &machine{unit: unit, pool: New(Config{Budget: budget, Unit: unit, Largest: 10 * unit})}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			ready := m.ready()
			switch action := rapid.IntRange(0, 9).Draw(t, "action"); {
			case action < 3:
				m.begin(t)
			case action < 7 && len(ready) > 0:
				m.ask(t, ready[rapid.IntRange(0, len(ready)-1).Draw(t, "who")])
			case action < 9 && len(m.lent) > 0:
				m.giveBack(rapid.IntRange(0, len(m.lent)-1).Draw(t, "which"))
			case action == 9 && len(m.open) > 0:
				m.abort(m.open[rapid.IntRange(0, len(m.open)-1).Draw(t, "which")])
			}
			m.check(t)
		}
		for len(m.open)+len(m.lent) > 0 {
			if len(m.lent) > 0 {
				m.giveBack(0)
			} else {
				ready := m.ready()
				require.NotEmpty(t, ready, "deadlock")
				m.ask(t, ready[rapid.IntRange(0, len(ready)-1).Draw(t, "who")])
			}
			m.check(t)
		}
		require.Zero(t, m.pool.Used())
	})
}

func TestClasses(t *testing.T) {
	t.Parallel()
	seen := map[int]int{}
	for n := 1; n < 5000; n++ {
		index, size := classOf(n)
		require.GreaterOrEqual(t, size, n)
		require.LessOrEqual(t, size, max(smallestClass, n+n/4), "little is wasted")
		if known, ok := seen[index]; ok {
			require.Equal(t, known, size, "one size a class")
		}
		seen[index] = size
		require.Equal(t, size, Class(size))
	}
	require.Equal(t, 256<<10, Class(256<<10), "a unit is a class")
	require.Equal(t, 1<<20, Class(1<<20))
}
