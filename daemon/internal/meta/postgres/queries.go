package postgres

import (
	schema "github.com/ringstore/ringstore/sql"
	sqlfiles "github.com/ringstore/ringstore/sql/postgres"
)

// queries are the statements of sql/postgres/queries, each in the field of its name.
type queries struct {
	CreateBucket, Bucket, ListBuckets, UpdateBucket                                                                     string
	ClaimBucket, DropBucket, KeepBucket                                                                                 string
	ClaimUpload, ReplaceLatest, DropPlanned, StoreFiles, CompleteUpload, UploadState                                    string
	Guard, LockFile, DeleteObject, FenceFile, FailFile, FileState, DeleteFile, File, LatestFile                         string
	ListObjects, ListObjectsByDelimiter                                                                                 string
	CountByKey, ListFilesByTime, ListFilesByTimeDown, ListFilesByKey, ListFilesByKeyDown                                string
	CreateSession, Session, SetSessionSize, SessionSize, ListSessions, ListSessionsOfBucket, ListExpiredSessions        string
	BeginPart, DropReplaced, DropUnused, StorePart, PartState, SlideSession, LockPart, FencePart, DropPart, MarkDropped string
	LockSessions, ClaimSessions, HandOver, TakeParts, PartsOf, EndSessions, EndSession, ShowFile                        string
	LockNames, ClaimName, MoveName, BareFile                                                                            string
	SweepDeleted, ForgetDropped, ForgetAttempts, NoteAttempt, AbandonAttempt, Attempt                                   string
	Part, PartOfSession, PartsAfter, WidenPart, MoveChunk                                                               string
	EnsureCluster, LockCluster, JoinNode, Members, BeatNodes, NodeState, SetNodeState                                   string
	Enqueue, Claim, ClaimOfNodes, TakeOver, Unclaim, Hasten, Finish, Postpone, Depth                                    string
	AcquireLease, RenewLease, ReleaseLease                                                                              string
	SaveCredential, Credential, ListCredentials, DeleteCredential, ReplaceCredentials                                   string
}

func loadQueries() (*queries, error) {
	q := new(queries)
	return q, schema.Load(sqlfiles.Queries, q)
}
