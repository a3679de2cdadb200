package writemem

import (
	"cmp"
	"slices"
	"time"
)

// area is a part of the budget, with its own accounts and waiters. The package's
// documentation explains what it grants to which caller, and why no upload waits forever.
type area struct {
	size     int64
	reserve  int64 // bytes that ordinary grants leave free; no stripe needs more
	lent     int64
	promised int64 // to open stripes, not yet lent
	callers  map[string]*caller
	waiting  []*caller            // those with waiters, in no order
	stripes  map[*Upload]struct{} // those with an open stripe
	looked   int64                // when slow clients were last looked for
}

// caller is the use of an area by all uploads with one access key.
type caller struct {
	key     string
	stripes int       // open ones
	held    int64     // bytes, including those that nodes have not yet taken
	promise int64     // bytes of all promises to its open stripes, when they were made
	queue   []*Upload // waiting, in the order in which their stripes began
}

func newArea(size, largest int64) *area {
	return &area{
		size: size, reserve: min(size, max(largest, size/8)),
		callers: map[string]*caller{}, stripes: map[*Upload]struct{}{},
	}
}

func (a *area) free() int64 { return a.size - a.lent }

// ordinary reports whether n bytes can be granted with the reserve and all promises kept.
func (a *area) ordinary(n int64) bool { return a.free()-n >= max(a.reserve, a.promised) }

// spare reports whether n bytes can be granted without delaying a waiter.
func (a *area) spare(n int64) bool { return len(a.waiting) == 0 && a.ordinary(n) }

// open begins the upload's stripe in this area.
func (a *area) open(u *Upload) {
	c := a.callers[u.client.Caller]
	if c == nil {
		c = &caller{key: u.client.Caller}
		a.callers[c.key] = c
	}
	c.stripes++
	a.stripes[u] = struct{}{}
	u.stripe.area, u.stripe.who = a, c
}

// close ends the upload's stripe. Its buffers remain lent until they are returned.
func (a *area) close(u *Upload) {
	s := &u.stripe
	a.promised -= s.promised
	s.who.promise -= s.promise
	s.who.stripes--
	delete(a.stripes, u)
	a.forget(s.who)
	a.serve()
}

// returned is called when lent memory returns.
func (a *area) returned(c *caller, n int64) {
	a.lent -= n
	c.held -= n
	a.forget(c)
	a.serve()
}

// forget removes a caller that holds nothing. Some are kept for callers that send one request
// at a time.
func (a *area) forget(c *caller) {
	const kept = 64
	if c.stripes == 0 && c.held == 0 && len(a.callers) > kept {
		delete(a.callers, c.key)
	}
}

// ask grants n bytes at once and returns true, or makes the upload wait.
func (a *area) ask(u *Upload, n int64) bool {
	if u.stripe.promise > 0 || a.spare(n) {
		a.lend(u, n)
		a.serve() // another caller may be the poorest now
		return true
	}
	if u.granted == nil {
		u.granted = make(chan struct{}, 1)
	}
	u.want = n
	c := u.stripe.who
	if len(c.queue) == 0 {
		a.waiting = append(a.waiting, c)
	}
	at, _ := slices.BinarySearchFunc(c.queue, u, byOrder)
	c.queue = slices.Insert(c.queue, at, u)
	a.serve()
	return false
}

func byOrder(x, y *Upload) int { return cmp.Compare(x.stripe.order, y.stripe.order) }

// leave ends the upload's wait; false: it was granted before.
func (a *area) leave(u *Upload) bool {
	if u.want == 0 {
		return false
	}
	a.unqueue(u)
	a.serve()
	return true
}

func (a *area) unqueue(u *Upload) {
	u.want = 0
	c := u.stripe.who
	if at, found := slices.BinarySearchFunc(c.queue, u, byOrder); found {
		c.queue = slices.Delete(c.queue, at, at+1)
	}
	if len(c.queue) == 0 {
		a.waiting = slices.DeleteFunc(a.waiting, func(w *caller) bool { return w == c })
	}
}

func (a *area) lend(u *Upload, n int64) {
	s := &u.stripe
	if s.promise > 0 {
		s.promised -= n
		a.promised -= n
	}
	s.taken += n
	a.lent += n
	s.who.held += n
}

// serve grants memory to waiters as long as possible.
func (a *area) serve() {
	for len(a.waiting) > 0 {
		u := a.poorest()
		if !a.ordinary(u.want) {
			if u = a.leastPromised(); u == nil {
				return
			}
			rest := u.stripe.need - u.stripe.taken
			if a.free()-a.promised < rest {
				return
			}
			u.stripe.promised, u.stripe.promise = rest, rest
			a.promised += rest
			u.stripe.who.promise += rest
		}
		n := u.want
		a.unqueue(u)
		a.lend(u, n)
		u.granted <- struct{}{}
	}
}

// poorest is the oldest waiter of the caller that holds least.
func (a *area) poorest() *Upload {
	return slices.MinFunc(a.waiting, func(x, y *caller) int {
		return cmp.Or(cmp.Compare(x.held, y.held), byOrder(x.queue[0], y.queue[0]))
	}).queue[0]
}

// leastPromised is the oldest waiter of the caller that was promised least, among those
// that may be promised more; nil if no caller may.
func (a *area) leastPromised() *Upload {
	var best *caller
	for _, c := range a.waiting {
		s := &c.queue[0].stripe
		if c.promise > 0 && c.promise+s.need-s.taken > a.reserve/2 {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(c.promise, best.promise), cmp.Compare(c.held, best.held), byOrder(c.queue[0], best.queue[0])) < 0 {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	return best.queue[0]
}

// tooSlow selects the uploads to end so that the waiters can be served. It examines them at
// most once per interval every, because there may be thousands.
func (a *area) tooSlow(now int64, every time.Duration) (chosen []*Upload) {
	if len(a.waiting) == 0 || a.looked != 0 && now-a.looked < int64(every) {
		return nil
	}
	a.looked = now
	wanted := max(0, a.reserve-a.free())
	for _, c := range a.waiting {
		for _, u := range c.queue {
			wanted += u.want
		}
	}
	type candidate struct {
		*Upload
		since int64
	}
	var slow []candidate
	for u := range a.stripes {
		switch at := u.slowAt.Load(); {
		case u.ended:
			wanted -= u.stripe.taken // about to return
		case at != 0 && at <= now && u.stripe.taken > 0 && u.client.Interrupt != nil:
			slow = append(slow, candidate{u, at})
		}
	}
	slices.SortFunc(slow, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(y.stripe.who.held, x.stripe.who.held), cmp.Compare(x.since, y.since))
	})
	for _, u := range slow {
		if wanted <= 0 {
			break
		}
		u.ended = true
		wanted -= u.stripe.taken
		chosen = append(chosen, u.Upload)
	}
	return chosen
}
