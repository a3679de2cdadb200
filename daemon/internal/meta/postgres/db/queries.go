package db

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"

	schema "github.com/ringstore/ringstore/sql"
	sqlfiles "github.com/ringstore/ringstore/sql/postgres"
)

// Queries are the statements, with the names of the arguments of those that name them.
type Queries struct {
	Texts
	Schema Range               // versions of the schema that the statements work with
	params map[string][]string // by text, in the order of the numbers
}

// Values are the arguments of a statement by their names.
type Values map[string]any

// Texts are the statements of sql/postgres/queries, each in the field of its name.
type Texts struct {
	CreateBucket, Bucket, ListBuckets, UpdateBucket                                                                                   string
	ClaimBucket, DropBucket, KeepBucket, LockBucket, SetDocument, RemoveDocument, Documents                                           string
	ClaimUpload, ReplaceLatest, DropPlanned, StoreFiles, CompleteUpload, UploadState, SetMarks, Parts                                 string
	LockDoomed, DeleteFiles, DeleteObjects                                                                                            string
	Guard, LockFile, DeleteObject, FenceFile, FailFile, FileState, DeleteFile, File, LatestFile                                       string
	ListObjects, ListObjectsByDelimiter                                                                                               string
	CountByKey, ListFilesByTime, ListFilesByTimeDown, ListFilesByKey, ListFilesByKeyDown                                              string
	CreateSession, Session, SetSessionSize, SessionSize, ListSessions, ListSessionsOfBucket, ListSessionsByKey, ListExpiredSessions   string
	BeginPart, DropReplaced, DropUnused, StorePart, PartState, SlideSession, LockPart, FencePart, DropPart, MarkDropped               string
	LockSessions, ClaimSessions, HandOver, TakeParts, PartsOf, EndSessions, EndSession, ShowFile                                      string
	LockNames, ClaimName, MoveName, BareFile                                                                                          string
	SweepDeleted, ForgetDropped, ForgetAttempts, NoteAttempt, AbandonAttempt, Attempt                                                 string
	Part, PartsByID, PartOfSession, PartsAfter, WidenPart, TakeReclaim, MoveChunk, DropRepair, FinishRepair, QueueLost, QueueRepairs  string
	ChangesAfter, LockChangeHead, NumberChanges, SkipSeq, Usage, Usages, TrimChanges                                                  string
	EnsureCluster, AdoptCluster, LockCluster, JoinNode, Members, BeatNodes, NodeState, SetNodeState, SetNodeDesired                   string
	Enqueue, Claim, ClaimRepairs, ClaimOfNodes, TakeOver, Unclaim, Hasten, Finish, FinishSome, Postpone, Depth, AddUpQueues           string
	LoggedTo, LogSegments, PartOfLog, GuardLog, AddSegment, RemoveSegments, FilesByID, FilesAfter, PartsOfFiles                       string
	EraseParts, EraseFile, NeedBucket, NeedBucketOfFile, HideOthers, HideOthersOfMoved, RestoreFile, RestoreParts                     string
	MoveRestored, HideOthersOfShown, ShowRestored, RestoreBucket, EraseBucket, RestoreDocument, EraseDocuments, CountFile, EraseUsage string
	SetAttributes, RestoreAttributes                                                                                                  string
	LockLease, AcquireLease, RenewLease, ReleaseLease                                                                                 string
	SaveCredential, Credential, ListCredentials, DeleteCredential, EndCredentials, ReplaceCredential                                  string
	CreateJob, SameJob, Job, UpdateJob, ListJobs, ListJobsDown, TrimJobs                                                              string
	AppendEvent, EventsAfter, TrimEvents                                                                                              string
	SaveLoops, LoopReport, WakeLoops, Wakeups                                                                                         string
	BeatGateway, ForgetGateways, ListGateways, RemoveGateway                                                                          string
}

// Load reads the statements.
func Load() (*Queries, error) {
	set, err := embedded()
	if err != nil {
		return nil, err
	}
	q := &Queries{Schema: set.known, params: map[string][]string{}}
	if err := schema.Load(sqlfiles.Queries, &q.Texts); err != nil {
		return nil, err
	}
	fields := reflect.ValueOf(&q.Texts).Elem()
	for i := range fields.NumField() {
		text, names := number(fields.Field(i).String())
		fields.Field(i).SetString(text)
		q.params[text] = names
	}
	return q, nil
}

var argument = regexp.MustCompile(`@[a-z_]+`)

// number replaces the named arguments of a statement by numbers, and returns their names in that order.
func number(text string) (numbered string, names []string) {
	numbered = argument.ReplaceAllStringFunc(text, func(name string) string {
		at := slices.Index(names, name[1:])
		if at < 0 {
			at, names = len(names), append(names, name[1:])
		}
		return "$" + strconv.Itoa(at+1)
	})
	return numbered, names
}

// Args are the arguments of a statement that names them. Where a value is missing they are nil, and the driver
// refuses the statement.
func (q *Queries) Args(text string, v Values) []any {
	names := q.params[text]
	args := make([]any, len(names))
	for i, name := range names {
		value, ok := v[name]
		if !ok {
			return nil
		}
		args[i] = value
	}
	return args
}
