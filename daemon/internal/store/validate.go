package store

import "github.com/ringstore/ringstore/daemon/internal/attr"

// Validate reports the first rule that the bucket breaks, as Invalid.
func (b Bucket) Validate() error {
	if err := b.Name.Validate(); err != nil {
		return err
	}
	if b.Survive < SurviveDefault || b.Survive > MaxSurvive {
		return Errorf(Invalid, "bucket %q asks to survive %d node failures, which is not within 0..%d", b.Name, b.Survive, MaxSurvive)
	}
	return nil
}

// Validate reports the first rule that a joining node breaks, as Invalid.
func (n Node) Validate() error {
	switch {
	case n.ID.IsZero():
		return Errorf(Invalid, "node has no id")
	case n.Name == "":
		return Errorf(Invalid, "node %s has no name", n.ID)
	case n.Weight < 1:
		return Errorf(Invalid, "node %q has weight %d, the least is 1", n.Name, n.Weight)
	}
	return nil
}

// Validate reports the first value that is out of range, as Invalid.
func (d Desired) Validate() error {
	if d.Weight != nil && (*d.Weight < 1 || *d.Weight > MaxWeight) {
		return Errorf(Invalid, "weight %d is not within 1..%d", *d.Weight, MaxWeight)
	}
	if d.Zone != nil && (len(*d.Zone) > MaxZone || !cleanText(*d.Zone)) {
		return Errorf(Invalid, "a zone has at most %d bytes of valid UTF-8, without NUL", MaxZone)
	}
	return nil
}

// Validate reports a limit out of bounds, as Invalid.
func (q ObjectQuery) Validate() error { return validLimit(q.Limit) }

// Validate reports the first rule that the query breaks, as Invalid.
func (q FileQuery) Validate() error {
	switch {
	case q.Offset < 0 || q.Offset > MaxOffset:
		return Errorf(Invalid, "offset %d is not within 0..%d", q.Offset, MaxOffset).WithHint("Continue from the last page by its cursor.")
	case q.State > Failed:
		return Errorf(Invalid, "file state %d is unknown", q.State)
	}
	return validLimit(q.Limit)
}

// TooMany is the error of a query by time that matches more than MaxSorted files.
func (q FileQuery) TooMany() error {
	return Errorf(Invalid, "more than %d files have the name or the prefix, too many to be sorted by time", MaxSorted).
		WithHint("List them by name, or choose a longer prefix.")
}

// Validate reports the first rule that the query breaks, as Invalid.
func (q ClaimQuery) Validate() error {
	if q.Hold <= 0 {
		return Errorf(Invalid, "the hold of a claim must be positive, not %s", q.Hold)
	}
	if q.Term == 0 {
		return Errorf(Invalid, "a claim needs the term of a lease")
	}
	if q.Kind == Repair && q.Nodes != nil {
		return Errorf(Invalid, "repairs are not claimed by node")
	}
	return validLimit(q.Limit)
}

func validLimit(n int) error {
	if n < 1 || n > MaxListLimit {
		return Errorf(Invalid, "limit %d is not within 1..%d", n, MaxListLimit)
	}
	return nil
}

// ValidAttributes reports the first attribute that is not valid, as Invalid.
func ValidAttributes(a attr.Set) error {
	if err := a.Validate(); err != nil {
		return Errorf(Invalid, "%w", err)
	}
	return nil
}
