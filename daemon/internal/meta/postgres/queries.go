package postgres

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"

	schema "github.com/ringstore/ringstore/sql"
	sqlfiles "github.com/ringstore/ringstore/sql/postgres"
)

// queries are the statements, with the names of the arguments of those that name them.
type queries struct {
	texts
	params map[string][]string // by text, in the order of the numbers
}

// values are the arguments of a statement by their names.
type values map[string]any

// texts are the statements of sql/postgres/queries, each in the field of its name.
type texts struct {
	CreateBucket, Bucket, ListBuckets, UpdateBucket                                                                     string
	ClaimBucket, DropBucket, KeepBucket                                                                                 string
	ClaimUpload, ReplaceLatest, DropPlanned, StoreFiles, CompleteUpload, UploadState, SetMarks, Parts                   string
	Guard, LockFile, DeleteObject, FenceFile, FailFile, FileState, DeleteFile, File, LatestFile                         string
	ListObjects, ListObjectsByDelimiter                                                                                 string
	CountByKey, ListFilesByTime, ListFilesByTimeDown, ListFilesByKey, ListFilesByKeyDown                                string
	CreateSession, Session, SetSessionSize, SessionSize, ListSessions, ListSessionsOfBucket, ListExpiredSessions        string
	BeginPart, DropReplaced, DropUnused, StorePart, PartState, SlideSession, LockPart, FencePart, DropPart, MarkDropped string
	LockSessions, ClaimSessions, HandOver, TakeParts, PartsOf, EndSessions, EndSession, ShowFile                        string
	LockNames, ClaimName, MoveName, BareFile                                                                            string
	SweepDeleted, ForgetDropped, ForgetAttempts, NoteAttempt, AbandonAttempt, Attempt                                   string
	Part, PartOfSession, PartsAfter, WidenPart, MoveChunk                                                               string
	ChangesAfter, LockChangeHead, NumberChanges, SkipSeq, Usage, TrimChanges                                            string
	EnsureCluster, LockCluster, JoinNode, Members, BeatNodes, NodeState, SetNodeState                                   string
	Enqueue, Claim, ClaimOfNodes, TakeOver, Unclaim, Hasten, Finish, Postpone, Depth                                    string
	LoggedTo, LogSegments, PartOfLog, GuardLog, AddSegment, RemoveSegments, FilesByID, FilesAfter, PartsOfFiles         string
	EraseParts, EraseFile, NeedBucket, NeedBucketOfFile, HideOthers, HideOthersOfMoved, RestoreFile, RestoreParts       string
	MoveRestored, HideOthersOfShown, ShowRestored, RestoreBucket, EraseBucket, CountFile, EraseUsage                    string
	LockLease, AcquireLease, RenewLease, ReleaseLease                                                                   string
	SaveCredential, Credential, ListCredentials, DeleteCredential, EndCredentials, ReplaceCredential                    string
	CreateJob, SameJob, Job, UpdateJob, ListJobs, ListJobsDown, TrimJobs                                                string
	AppendEvent, EventsAfter, TrimEvents                                                                                string
	SaveLoops, LoopReport, WakeLoops, Wakeups                                                                           string
}

func loadQueries() (*queries, error) {
	q := &queries{params: map[string][]string{}}
	if err := schema.Load(sqlfiles.Queries, &q.texts); err != nil {
		return nil, err
	}
	fields := reflect.ValueOf(&q.texts).Elem()
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

// args are the arguments of a statement that names them. Where a value is missing there are none, and the driver
// refuses the statement.
func (q *queries) args(text string, v values) []any {
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
