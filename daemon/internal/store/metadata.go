package store

import (
	"cmp"
	"context"
	"time"
)

// Metadata stores all state of the cluster but the chunks. Each call is one atomic step:
// it happens completely and durably, or not at all; the contract has no transaction
// handles. All methods are safe for concurrent use by many goroutines and many
// gateways. Every error is an *Error or that of an ended context. Unavailable,
// Canceled and Internal leave the outcome of a change open: it may have
// happened, or may still happen later. Looking for its effect proves nothing, because
// the change may land after the look. Only a fence decides: FailFile for a
// CommitFile, DropPart for a SavePart or AddPart, Abandon for the changes that carry an AttemptID.
// A change whose context has ended is neither started nor retried.
// Keys order as bytes everywhere.
// Arguments and results are never changed or retained by the other side.
//
// Implementations pass package metatest.
type Metadata interface {
	Buckets
	Documents
	Files
	FileReader
	Attributes
	Changes
	Sessions
	SessionParts
	Fences
	Placements
	Nodes
	Queues
	Leases
	Credentials
	MetadataLog
	Jobs
	Events
	Loops
	Gateways

	// Ping returns nil when the store answers.
	Ping(ctx context.Context) error
	// Close releases the store's resources. Later calls are Unavailable.
	Close() error
}

// Buckets keeps the buckets. DefaultBucket is there from the start. The caller of a change is the client's access key, or "".
type Buckets interface {
	// CreateBucket adds the bucket; CreatedAt is set by the store. Invalid, Exists.
	CreateBucket(ctx context.Context, b Bucket, caller string) error
	// Bucket returns the bucket of that name. NotFound.
	Bucket(ctx context.Context, name BucketName) (Bucket, error)
	// ListBuckets returns all buckets by name.
	ListBuckets(ctx context.Context) ([]Bucket, error)
	// UpdateBucket replaces the policies (everything but Name and CreatedAt). NotFound, Invalid.
	UpdateBucket(ctx context.Context, b Bucket, caller string) error
	// DeleteBucket removes an empty bucket. NotFound; Conflict while it holds a
	// file that is complete or uploading, or a session. Its failed files become Deleted.
	DeleteBucket(ctx context.Context, name BucketName, caller string) error
	// Usage returns what the complete files of the bucket take. It is exact: each change counts from its commit on. NotFound.
	Usage(ctx context.Context, name BucketName) (Usage, error)
	// Usages returns the usage of every bucket, as Usage does, all at one moment.
	Usages(ctx context.Context) (map[BucketName]Usage, error)
}

// Files changes the versions of objects.
type Files interface {
	// BeginFile records a file as Uploading, with the parts and placements
	// that are planned, so that an abandoned write can be found and its
	// chunks reclaimed. Used for large bodies; small ones call CommitFile alone.
	// NotFound (bucket), Exists (id), Invalid (attributes, checksums).
	BeginFile(ctx context.Context, f File) error

	// CommitFile makes the file complete and latest: it is the step in which a write
	// becomes visible. In the same step: the parts and placements are stored
	// as given (replacing those of BeginFile); a part with placements without a node is put on the
	// repair queue, with its priority; the file that was latest under the key before is treated as c.Before says.
	// Chunks that BeginFile planned at a place where the commit does not have them are put
	// on the reclaim queue.
	// c.File.ID must be new, or where c.Begun is set that of an Uploading file of the same bucket and key.
	// NotFound (bucket, or a begun file that was deleted), PreconditionFailed, Denied (the file that it replaces is locked), Conflict (the file was
	// abandoned with FailFile, or the begun file is not Uploading any more), Exists (id), Invalid (attributes, checksums). Returns the file as
	// stored, without Parts, and the id of the file that was latest before, or the zero id.
	CommitFile(ctx context.Context, c Commit) (stored File, previous FileID, err error)

	// FailFile abandons the write of a file, begun or not, and fences it: afterwards no CommitFile
	// of f.ID can happen, however late it arrives. The file becomes Failed, with the reason, under
	// its id (of f only ID, Bucket, Key, Size and CreatedAt are used, and only where the store has no file of that id yet);
	// the chunks of its planned parts and of the attempted ones are put on the reclaim queue in the same step.
	// Failing what is Failed or Deleted already queues the attempted chunks and is nil.
	// Conflict for a complete file: the commit came first, nothing changes, and the write succeeded.
	FailFile(ctx context.Context, f File, reason string, attempted []Part) error

	// DeleteFile makes a file of any other state Deleted, in one step whose cost does not
	// depend on the number of its parts.
	// With d.File it deletes that file; where it was latest, the newest complete file of the key
	// that is left, by Seq, becomes latest. The CommitFile of an upload in flight is then NotFound.
	// Without d.File it deletes the object d.Bucket, d.Key: its latest file. Files behind it stay what they are, so
	// afterwards the key shows nothing. (To keep the versions of an object, commit a delete marker instead.)
	// PreconditionFailed; NotFound (bucket, object, file, also a file that is Deleted already); Denied (the file is locked); Conflict (the
	// attempt was abandoned).
	DeleteFile(ctx context.Context, d Deletion) error

	// RenameFile gives a file that is latest another key, in the same or another bucket,
	// and makes it latest there. The file that was latest there is treated as r.Before says; of the old key
	// the newest complete file that is left becomes latest.
	// Everything else of the file stays, its parts' placements included. To its own
	// key it changes nothing. NotFound (file, bucket), PreconditionFailed, Denied (the file, or the one that it replaces, is locked), Conflict (not
	// latest, a delete marker, or the attempt was abandoned). Returns as CommitFile does, without Parts.
	RenameFile(ctx context.Context, r Rename) (stored File, previous FileID, err error)
}

// FileReader finds and lists files.
type FileReader interface {
	// File returns a file of any state, Deleted included, with its first PartsPage parts and its marks. NotFound.
	File(ctx context.Context, id FileID) (File, error)

	// LatestFile returns the latest file of (bucket, key), as File does.
	// NotFound: bucket, key, or the latest is a delete marker.
	LatestFile(ctx context.Context, bucket BucketName, key Key) (File, error)

	// Parts returns up to PartsPage parts of a file, by Number, beginning with the first that has at least this number.
	// None: the file has no such part, or does not exist. Its cost does not depend on how many parts come before.
	Parts(ctx context.Context, id FileID, number int) ([]Part, error)

	// ListObjects lists what a bucket shows. NotFound (bucket). Its cost is per
	// entry returned: common prefixes are skipped over by index.
	ListObjects(ctx context.Context, q ObjectQuery) (ObjectPage, error)

	// ListFiles lists files of one state by time of creation (then id), delete
	// markers left out. A page costs as much as it has files, wherever it begins. With a Key or a Prefix it reads all files
	// that match, and sorts them: of more than MaxSorted, whatever their state, it is Invalid. NotFound (bucket).
	ListFiles(ctx context.Context, q FileQuery) (FilePage, error)
}

// FenceFor is how long a fence keeps a change that was abandoned from happening. It is
// far longer than any statement or packet lives.
const FenceFor = 24 * time.Hour

// Fences end the uncertainty about changes whose answer was lost.
type Fences interface {
	// Abandon makes sure that the change of this attempt does not happen any more, unless it has:
	// then happened is true, and it is durable. Afterwards the outcome is final: an abandoned change that
	// arrives late is a Conflict. It may be repeated, with the same answer, within FenceFor.
	// A step that found nothing to do, or was refused, counts as not happened. Invalid (the zero attempt).
	Abandon(ctx context.Context, attempt AttemptID) (happened bool, err error)
}

// ObjectQuery selects latest complete files by key.
type ObjectQuery struct {
	Bucket    BucketName
	Prefix    string // only keys that begin with it
	Delimiter string // group keys that agree up to and including its first occurrence after Prefix; "": no grouping
	After     string // skip keys <= After; where After is a common prefix of this query, also all keys that begin with it
	Limit     int    // entries (keys and common prefixes together), 1..MaxListLimit
}

// MaxListLimit bounds a page.
const MaxListLimit = 1000

// ObjectPage is one page, in byte order of Entry.Name.
type ObjectPage struct {
	Entries []Entry
	More    bool   // there is at least one entry after the last
	Next    string // After for the next page, when More
}

// Entry is an object, or a common prefix (then File is nil).
type Entry struct {
	Name string // key or common prefix
	File *File  // without Parts
}

// FileQuery selects files by time of creation. Zero fields do not filter.
type FileQuery struct {
	Bucket     BucketName
	Key        Key        // exactly this key
	Prefix     string     // keys that begin with it
	State      FileState  // 0 is Complete
	Descending bool       // newest first
	After      FileCursor // only files that follow it in the order of the query
	Offset     int        // files to skip after that, 0..MaxOffset; its cost is per file skipped
	Limit      int        // 1..MaxListLimit
}

// FileCursor is a place in a listing by time: that of the file created then, with that id. The zero cursor is the start.
type FileCursor struct {
	CreatedAt time.Time
	ID        FileID
}

// Cursor is the place of the file in a listing by time.
func (f File) Cursor() FileCursor { return FileCursor{f.CreatedAt, f.ID} }

const (
	// MaxOffset bounds FileQuery.Offset. Further into a listing, use After.
	MaxOffset = 10_000
	// MaxSorted bounds the files that a listing by time sorts, because it has a key or a prefix.
	MaxSorted = 10_000
)

// FilePage is one page of files, without Parts.
type FilePage struct {
	Files []File
	More  bool
	Next  FileCursor // After for the next page, when More
}

// NewFilePage makes a page of files of which there is one more than the limit if there are more.
func NewFilePage(files []File, limit int) FilePage {
	if len(files) <= limit {
		return FilePage{Files: files}
	}
	files = files[:limit:limit]
	return FilePage{Files: files, More: true, Next: files[limit-1].Cursor()}
}

// Placements is what background work reads and changes: the parts of files and of unfinished sessions.
type Placements interface {
	// Part returns the part and the file that it belongs to, without the file's Parts. For a part of a
	// session the file is what the session will become: its ID, Bucket, Key and State Uploading are set.
	// A part of a Deleted file is found until SweepDeleted has removed it. NotFound.
	Part(ctx context.Context, id PartID) (Part, File, error)

	// PartsByID returns those of the 1..MaxListLimit parts that Part finds, in the byte order of their ids. Invalid (their number).
	PartsByID(ctx context.Context, ids []PartID) ([]Part, error)

	// PartsAfter returns up to limit parts of complete files and of sessions in the byte order of their ids,
	// beginning with the first after the marker; the zero id means the start.
	PartsAfter(ctx context.Context, after PartID, limit int) ([]Part, error)

	// MoveChunk changes one placement, if it still is from: Conflict if not. NotFound (chunk).
	// In the same step a from that names a node is put on the reclaim queue,
	// unless to is the same node, and the chunk is removed from the repair task of the part, which is finished when it has no other.
	// A to without a node puts the chunk on the repair queue instead, as CommitFile does.
	// A reclaim that is queued for the chunk at to is removed from the queue if it was
	// never claimed; otherwise it could still delete the new copy, so it is a Conflict.
	MoveChunk(ctx context.Context, id ChunkID, from, to Placement) error

	// WidenPart raises the number of a part's parity chunks (or further copies) to m, because the membership
	// now allows what its policy asks for: the new chunks have no node and are put on the repair queue. The existing
	// chunks stay as they are: parity chunk i does not depend on how many there are.
	// An m that is not higher changes nothing. NotFound, Invalid (more than MaxChunksPerPart chunks).
	WidenPart(ctx context.Context, id PartID, m int) error

	// SweepDeleted removes up to limit parts (1..MaxListLimit) of files that became Deleted at least
	// grace ago, the longest deleted first, and puts their chunks on the reclaim queue; a Deleted file
	// without parts is removed. So reads that began before a file was deleted or replaced can finish.
	// Parts of ended sessions are swept without a grace. A Deleted file that was never
	// complete, and every other fence, is kept for FenceFor and then removed.
	// swept is the number of parts and files that were removed; 0 means that nothing is due.
	SweepDeleted(ctx context.Context, grace time.Duration, limit int) (swept int, err error)
}

// NodeState is what the operator wants of a node. Values are stored: add at the end.
// Whether it can be reached is not a state: package cluster derives it from the heartbeats.
type NodeState uint8

// The states of a node.
const (
	NodeActive   NodeState = iota + 1 // takes new chunks
	NodeDraining                      // is read from; background work moves its chunks away
	NodeRemoved                       // holds nothing and may not rejoin
)

var nodeStateNames = [...]string{"", "active", "draining", "removed"}

// String gives the name that operators see.
func (s NodeState) String() string {
	if int(s) < len(nodeStateNames) {
		return nodeStateNames[s]
	}
	return ""
}

// Node is a storage daemon with one data directory.
type Node struct {
	ID       NodeID
	Name     string // unique among nodes that are not removed, for people
	Address  string // host:port of its gRPC server; "" for a node in the gateway's own process
	Zone     string // failure domain, as the node reports it; "": the node is its own
	Weight   int    // 150 virtual nodes each, as the node reports it; at least 1
	Desired  Desired
	State    NodeState
	JoinedAt time.Time // microseconds, UTC, store's clock
	LastBeat time.Time // microseconds, UTC, store's clock
	Capacity Capacity
	Version  string // of the daemon
	DataPort int    // version of the data port that it offers on its address beside gRPC; 0: none
}

// MaxWeight bounds the weight of a node, and MaxZone the bytes of a desired zone.
const (
	MaxWeight = 1000
	MaxZone   = 255
)

// Desired is what an operator set for a node in place of what it reports. Nil: not set, the reported value counts.
type Desired struct {
	Zone   *string // at most MaxZone bytes; "": the node is its own failure domain
	Weight *int    // 1..MaxWeight
}

// EffectiveZone is the failure domain that placement uses; "": the node is its own.
func (n Node) EffectiveZone() string { return *cmp.Or(n.Desired.Zone, &n.Zone) }

// EffectiveWeight is the weight that the ring uses.
func (n Node) EffectiveWeight() int { return *cmp.Or(n.Desired.Weight, &n.Weight) }

// SamePlace reports whether the epoch stays when the node becomes o: address, effective zone and effective weight are the same.
func (n Node) SamePlace(o Node) bool {
	return n.Address == o.Address && n.EffectiveZone() == o.EffectiveZone() && n.EffectiveWeight() == o.EffectiveWeight()
}

// Epoch is the version of the ring; every membership change adds one.
type Epoch uint64

// Membership is a consistent snapshot of the nodes.
type Membership struct {
	Cluster ClusterID
	Epoch   Epoch
	Now     time.Time // store's clock; compare LastBeat with this, never with a local clock
	Nodes   []Node    // by name, removed ones included
}

// Beat is the content of a node's heartbeat.
type Beat struct {
	Node     NodeID
	Capacity Capacity
}

// Nodes keeps the membership. The ClusterID is assigned when the store is first opened, and never changes.
type Nodes interface {
	// JoinNode adds the node as active, or brings its Name, Address, Zone, Weight, Capacity,
	// Version and DataPort up to date, keeping State, Desired and JoinedAt; counts as a beat.
	// The epoch grows when the node is new, or its Address, effective zone or effective weight changed.
	// Denied for a removed node, Conflict when another node has the name, Invalid.
	JoinNode(ctx context.Context, n Node) (Membership, error)
	// Members returns all nodes.
	Members(ctx context.Context) (Membership, error)
	// BeatNodes stores heartbeats, many in one step, with the store's time.
	// Unknown and removed nodes are skipped and returned.
	BeatNodes(ctx context.Context, beats []Beat) (unknown []NodeID, err error)
	// SetNodeState changes the state; the epoch grows if it differs. The caller is the client's access key, or "". NotFound;
	// Conflict for a removed node, which stays removed.
	SetNodeState(ctx context.Context, id NodeID, s NodeState, caller string) error
	// SetNodeDesired replaces what is desired; the epoch grows if the effective zone or weight differs.
	// NotFound; Conflict for a removed node; Invalid.
	SetNodeDesired(ctx context.Context, id NodeID, d Desired, caller string) error
}

// Lease is the right to run, for a limited time, work that must run only once in a cluster.
type Lease struct {
	Name  string
	Owner string
	Term  uint64        // grows with each new holder: the fencing number
	TTL   time.Duration // validity, from the start of the call that returned it; a local clock may only end it earlier
}

// Leases grants leases.
type Leases interface {
	// AcquireLease takes the lease if it is free. The current owner
	// gets a new term. Conflict while another owner holds it.
	AcquireLease(ctx context.Context, name, owner string, ttl time.Duration) (Lease, error)
	// RenewLease extends by ttl from now. Conflict when the term is not the current one or has run out.
	RenewLease(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	// ReleaseLease ends the lease. With an old term it changes nothing, which is not an error.
	ReleaseLease(ctx context.Context, l Lease) error
}

// Credential is an access key. Package access encrypts the secret with the master key.
type Credential struct {
	AccessKey string
	Sealed    []byte
	Note      string
	CreatedAt time.Time // microseconds, UTC, store's clock
}

// Credentials keeps access keys. Secrets never appear in errors, events or logs. The caller of a change is the access key
// of the client that asks for it, or "".
type Credentials interface {
	// SaveCredential adds a key; CreatedAt is set by the store. Exists.
	SaveCredential(ctx context.Context, c Credential, caller string) error
	// ReplaceCredentials saves c and removes all other keys with c's Note, in one
	// step: no reader finds both, or neither. A key of c's name is replaced,
	// whatever its Note; CreatedAt is set by the store. It is durable when it returns.
	ReplaceCredentials(ctx context.Context, c Credential, caller string) error
	// Credential returns one access key. NotFound.
	Credential(ctx context.Context, accessKey string) (Credential, error)
	// ListCredentials returns all by access key.
	ListCredentials(ctx context.Context) ([]Credential, error)
	// DeleteCredential removes one. NotFound.
	DeleteCredential(ctx context.Context, accessKey, caller string) error
}

// ErrNoBucket is the error of calls that name a bucket that does not exist.
func ErrNoBucket(name BucketName) *Error {
	return Errorf(NotFound, "bucket %q does not exist", name).WithHint("Create the bucket, or choose another one.")
}
