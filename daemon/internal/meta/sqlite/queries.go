package sqlite

// queries are the statements of sql/sqlite/queries, each under its name there.
type queries struct {
	CreateBucket, Bucket, ListBuckets, UpdateBucket, BucketInUse, FilesBehind, DropBucket                                             string
	InsertFile, InsertPart, FileState, Shown, Heir, Show, RenameFile, RemoveFile, RemoveParts, MarkFailed                             string
	File, LatestFile, Parts, ListObjects, ListFiles, ListFilesOfBucket, ListFilesOfKey                                                string
	Part, FileOfPart, PartsAfter, PlaceChunks, CallOff, IsQueued, FinishRepairs                                                       string
	EnsureCluster, Cluster, NextEpoch, Members, Node, NodeNamed, SaveNode, BeatNode, SetNodeState                                     string
	Enqueue, NextNode, DueOfNode, Hide, Finish, Postpone, Depth                                                                       string
	AcquireLease, LeaseOwner, RenewLease, ReleaseLease                                                                                string
	InsertSession, IDInUse, FileExists, Session, SessionAlive, SessionSize, SetSessionSize, SessionParts, RemoveSession, SlideSession string
	ListSessions, ListSessionsOfBucket, ListExpiredSessions                                                                           string
	NumberTaken, SessionOfPart, PartTaken, InsertSessionPart, RemoveSessionPart, RemoveSessionParts, RemoveSessionNodes               string
	InsertAttempt, RemoveAttempt, RemoveAttempts                                                                                      string
	SaveCredential, Credential, ListCredentials, DeleteCredential                                                                     string
	EndCredentials                                                                                                                    string
}
