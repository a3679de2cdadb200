package db

import "maps"

// ledger is what the changes of one transaction have in common: the buckets that they looked up, what they add to the
// usage of each, and how many reclaims they queue. It is written once, before the transaction commits. So a group of commits to one
// bucket reads and changes its row once.
type ledger struct {
	ids      map[string]int64     // of buckets that exist, by name
	usage    map[int64]usageDelta // by bucket
	reclaims int64                // that were added to the queue, less those that were removed
}

// usageDelta is what changes add to the usage of a bucket.
type usageDelta struct {
	bytes, files int64
	seq          uint64 // the last that was drawn
}

func (l *ledger) clone() ledger { return ledger{maps.Clone(l.ids), maps.Clone(l.usage), l.reclaims} }

// forget begins an empty ledger.
func (t *Tx) forget() { t.ledger = ledger{map[string]int64{}, map[int64]usageDelta{}, 0} }

// BucketID returns the id of the row of a bucket. Where it was not looked up yet, find does that.
func (t *Tx) BucketID(name string, find func() (int64, error)) (id int64, err error) {
	if id, ok := t.ids[name]; ok {
		return id, nil
	}
	if id, err = find(); err == nil {
		t.ids[name] = id
	}
	return id, err
}

// Count adds to the usage of the bucket, and returns the next number of the sequence of its files.
func (t *Tx) Count(bucket, bytes, files int64) (seq uint64, err error) {
	sum, ok := t.usage[bucket]
	if !ok {
		if err := t.Row(t.q.LastSeq, bucket).Scan(&sum.seq); err != nil {
			return 0, err
		}
	}
	sum.bytes, sum.files, sum.seq = sum.bytes+bytes, sum.files+files, sum.seq+1
	t.usage[bucket] = sum
	return sum.seq, nil
}

// CountReclaims counts n reclaims that were added to the queue, or -n that were removed.
func (t *Tx) CountReclaims(n int64) { t.reclaims += n }

// FlushCounts writes what was counted, and forgets the buckets. A change of the rows of buckets calls it first: a row that is created
// later in the transaction may have the id of one that is deleted.
func (t *Tx) FlushCounts() error {
	for bucket, sum := range t.usage {
		if _, err := t.Exec(t.q.AddUsage, sum.bytes, sum.files, int64(sum.seq), bucket); err != nil {
			return err
		}
	}
	if t.reclaims != 0 {
		if _, err := t.Exec(t.q.CountReclaims, t.reclaims); err != nil {
			return err
		}
	}
	t.forget()
	return nil
}
