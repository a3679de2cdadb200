// Package segment keeps small chunks and deletions as records in segment files, each written once, at its end.
//
// A Log appends records: it makes them durable together, seals a segment that is full, keeps a spare segment for deletions on a
// full disk, and reads all segments at start. A Table knows how many bytes of each segment are live, and so which
// may be removed or rewritten. What is live, the chunk store decides.
package segment
