// Package writemem lends the memory in which the bytes of uploads wait for their
// nodes. [Pool] has a fixed budget. An [Upload] takes a [Buffer] at a time, when bytes have
// arrived for it, and each buffer returns when its last holder releases it.
//
// # Two areas
//
// The budget is split into two areas that share nothing: one eighth for small uploads (those
// that are known to have at most one unit), the rest for all others. Large uploads therefore never
// delay small ones. A small upload may use the large area when that has room to spare and its own has none.
//
// # Why no deadlock
//
// The memory of a stripe is of use only when the stripe is whole: until its last
// byte is known, neither the length of its units nor its parity is. Stripes that are half full, hold
// all memory and wait for more would wait forever. So each area keeps a reserve, at
// least as large as the largest stripe, and there are two ways to be granted memory:
//
//   - an ordinary grant leaves the whole reserve free (and all that was promised);
//   - a promise covers everything that one stripe still needs. It is made when an ordinary grant is
//     not possible and what is free and not promised suffices. From then on the
//     stripe's requests are granted at once.
//
// Let U be the bytes held by open stripes without a promise. Each of those bytes came with an
// ordinary grant, so U <= area - reserve at all times. A stripe with a promise needs nothing more of
// the pool: it is completed, or its upload ends. A completed stripe returns its memory
// without further requests, because nodes take or refuse units within a time limit. So once those
// are through, at least the reserve is free, which is enough to promise any waiting stripe its
// remainder: some waiter can always proceed. A caller's stripes are served in the order in which they
// began, and a new stripe is the youngest, so every waiter becomes the oldest.
//
// What an open stripe with a promise can wait for is its client. Such a client is subject to the minimum rate.
//
// # Order of service
//
// Ordinary grants go to the waiting caller (access key) that holds least, promises to the one
// that was promised least and never for more than half of the reserve to one caller that
// has a promise already. So a caller that has more than an equal share receives nothing by an ordinary grant
// while another waits, yet its stripes are completed, which is what frees memory; and no
// caller can occupy the whole reserve. While no one waits, a caller may hold everything.
//
// # Limits in time
//
// An upload waits at most Config.Wait, then ends with Unavailable. While others wait, uploads that
// hold memory and are more than Config.Lag behind Config.MinRate are ended with Canceled, those of the
// caller that holds most first, and only as many as the waiting requests need. Only the time
// in which an upload waits for its client counts. While no one waits, no upload is ended.
package writemem
