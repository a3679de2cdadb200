package db

// Queries are the statements of sql/sqlite/queries, each in the field of its name.
type Queries struct {
	CreateBucket, Bucket, ListBuckets, UpdateBucket, BucketInUse, DeleteFailed, DropBucket, Documents, DocumentRevision, SetDocument, RemoveDocument, DropDocuments string
	AttributesOf, SetAttributes                                                                                                                                     string
	InsertFile, InsertPart, FileState, Shown, Heir, Show, RenameFile, RemoveFile, RemoveParts, MarkFailed, MarkDeleted, InsertMarker, Hide                          string
	File, LatestFile, Parts, PartsPage, SetMarks, ListObjects, ListFiles, ListFilesOfBucket, ListFilesByKey, CountByKey                                             string
	Record, AddUsage, LastSeq, SkipSeq, Usage, Usages, ChangeHead, ChangesAfter, DueChanges, TrimChanges                                                            string
	DueDeleted, SweepParts, RemoveSwept, ForgetDropped, ForgetAttempts, Attempt, InsertAttempt                                                                      string
	Part, PartsByID, OwnerOfPart, SessionNames, PartsAfter, Widen, PlaceChunks, CallOff, IsQueued, DropRepair, FinishRepair                                         string
	EnsureCluster, AdoptCluster, Cluster, NextEpoch, Members, Node, NodeNamed, SaveNode, FirstBeat, BeatNode, SetNodeState, SetNodeDesired                          string
	EnqueueReclaims, ClaimReclaims, FinishReclaims                                                                                                                  string
	Enqueue, NextNode, DueTasks, ClaimTask, TakeOver, Unclaim, Hasten, Finish, FinishSome, Postpone, Depth, CountReclaims                                           string
	AcquireLease, LeaseOwner, RenewLease, ReleaseLease                                                                                                              string
	InsertSession, IDInUse, FileExists, Session, SessionAlive, SessionSize, SetSessionSize, SessionParts, RemoveSession, SlideSession                               string
	ListSessions, ListSessionsOfBucket, ListSessionsByKey, ListExpiredSessions, OwnerFull, BucketFull                                                               string
	NumberTaken, PartState, RemoveNumber, RemoveBegun, TakePart, HandOver                                                                                           string
	LoggedTo, LogSegments, NewestSegment, InsertSegment, RemoveSegment, RemovePart, FilesByID, PartsOfFiles, FilesAfter                                             string
	RestoreBucket, NeedBucket, NeedBucketOf, EraseDocuments, EraseBucket, HideOthers, HideKey, ShowRestored, MoveRestored, EraseParts, CountFile                    string
	SaveCredential, Credential, ListCredentials, DeleteCredential                                                                                                   string
	EndCredentials                                                                                                                                                  string
	InsertJob, UpdateJob, SameJob, Job, ListJobs, ListJobsDown, TrimJobs                                                                                            string
	NextEvent, InsertEvent, EventHead, EventsAfter, TrimEvents                                                                                                      string
	SaveLoops, LoopReport, WakeLoop, Wakeups                                                                                                                        string
	BeatGateway, ForgetGateways, ListGateways, RemoveGateway                                                                                                        string
}
