package sqlite

// queries are the statements of sql/sqlite/queries, each under its name there.
type queries struct {
	CreateBucket, Bucket, ListBuckets, UpdateBucket, BucketInUse, FilesBehind, DropBucket         string
	InsertFile, InsertPart, FileState, Shown, Heir, Show, RemoveFile, RemoveParts, MarkFailed     string
	File, LatestFile, Parts, ListObjects, ListFiles, ListFilesOfBucket, ListFilesOfKey            string
	Part, FileOfPart, PartsAfter, PlaceChunks, CallOff, IsQueued, FinishRepairs                   string
	EnsureCluster, Cluster, NextEpoch, Members, Node, NodeNamed, SaveNode, BeatNode, SetNodeState string
	Enqueue, NextNode, DueOfNode, Hide, Finish, Postpone, Depth                                   string
	AcquireLease, LeaseOwner, RenewLease, ReleaseLease                                            string
	SaveCredential, Credential, ListCredentials, DeleteCredential                                 string
}
