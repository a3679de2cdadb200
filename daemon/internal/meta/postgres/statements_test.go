package postgres_test

import (
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// statement is a statement whose plan is tested.
type statement struct {
	name, sql string
	args      []string // SQL literals
	steps     []string // what is to be found in its plan, behind the word using
	refused   bool     // with these arguments: it is not executed
}

// options are those of EXPLAIN for the statement.
func (s statement) options() string {
	if s.refused {
		return "COSTS OFF"
	}
	return "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF"
}

// planned returns the statements that look for rows of tables that grow. Where a statement is of a file, a part or a session, its arguments
// name the one with this id, and the key a.
func planned(q *db.Queries, row store.FileID) []statement {
	id := "'" + row.String() + "'"
	other := "'" + store.NewFileID().String() + "'"
	ids := "ARRAY[" + id + "]::uuid[]"
	zero := `'\x00000000000000000000000000000000'`
	page := []string{id, "''", `'\xff'`, "10"}
	return []statement{
		{name: "ReplaceLatest", sql: q.ReplaceLatest, args: []string{"'{default}'", `'{a}'`, "null", "'{f}'", "'{x}'", "false", "null"}, steps: []string{"files_latest"}},
		{name: "File", sql: q.File, args: []string{id}, steps: []string{"parts_of_owner"}},
		{name: "Part", sql: q.Part, args: []string{id}, steps: []string{"parts_pkey"}},
		{name: "Claim", sql: q.Claim, args: []string{"1", "10", "'1 s'", "1"}, steps: []string{"tasks_due"}},
		{name: "ClaimOfNodes", sql: q.ClaimOfNodes, args: []string{"1", "10", "'1 s'", "1", ids}, steps: []string{"tasks_due_of_node"}},
		{name: "Finish", sql: q.Finish, args: []string{"'{1}'", ids, "'{1}'", ids, "'{1}'"}, steps: []string{"tasks_pkey"}},
		{name: "FinishSome", sql: q.FinishSome, args: []string{"'{1}'", ids, "'{1}'", ids, "'{1}'"}, steps: []string{"tasks_pkey"}},
		{name: "ClaimRepairs", sql: q.ClaimRepairs, args: []string{"2", "4", "'1 s'", "1", "3", "7"}, steps: []string{"tasks_due"}},
		{name: "Depth", sql: q.Depth, args: []string{"2"}, steps: []string{"queue_counts_pkey"}},
		{name: "DeleteFile", sql: q.DeleteFile, args: []string{id, "null", "''"}, steps: []string{"files_pkey", "files_behind"}},
		{name: "LockDoomed", sql: q.LockDoomed, args: []string{ids, "'{default}'", `'{a}'`}, steps: []string{"files_pkey", "files_latest"}},
		{name: "DeleteFiles", sql: q.DeleteFiles, args: []string{ids, ids, "'{x}'"}, steps: []string{"files_pkey", "files_behind"}},
		{name: "DeleteObjects", sql: q.DeleteObjects, args: []string{"'{default}'", `'{a}'`, ids, "'{x}'"}, steps: []string{"files_latest", "files_pkey"}},
		{name: "TakeReclaim", sql: q.TakeReclaim, args: []string{id, "0", zero}, steps: []string{"parts_pkey"}},
		{name: "MoveChunk", sql: q.MoveChunk, args: []string{id, "0", zero, zero, zero, zero}, steps: []string{"parts_pkey"}, refused: true},
		{name: "ClaimUpload", sql: q.ClaimUpload, args: []string{id, "'default'", "'a'"}, steps: []string{"files_pkey"}},
		{name: "SweepDeleted", sql: q.SweepDeleted, args: []string{"'1 s'", "'1 s'", "10"}, steps: []string{"files_deleted"}},
		{name: "ForgetDropped", sql: q.ForgetDropped, args: []string{"'1 s'"}, steps: []string{"parts_dropped"}},
		{name: "ForgetAttempts", sql: q.ForgetAttempts, args: []string{"'" + store.FileID{}.String() + "'", "'1 day'"}, steps: []string{"attempts_pkey"}},
		{name: "TakeOver", sql: q.TakeOver, args: []string{"2"}, steps: []string{"tasks_claimed"}},
		{name: "CreateSession", sql: q.CreateSession, args: []string{other, "'default'", "'a'", "1", "''", "null", "null", "''", "'1 s'", "10", "10", "null"}, steps: []string{"buckets_name", "files_pkey", "sessions_of_owner", "sessions_of_bucket", "session_expiries_pkey"}},
		{name: "Session", sql: q.Session, args: []string{id}, steps: []string{"sessions_pkey", "session_expiries_pkey", "parts_of_owner"}},
		{name: "SetSessionSize", sql: q.SetSessionSize, args: []string{id, "1", "''"}, steps: []string{"sessions_pkey", "session_expiries_pkey"}},
		{name: "SessionSize", sql: q.SessionSize, args: []string{id}, steps: []string{"sessions_pkey", "session_expiries_pkey"}},
		{name: "ListSessions", sql: q.ListSessions, args: page, steps: []string{"sessions_pkey", "session_expiries_pkey", "parts_of_owner"}},
		{name: "ListSessionsOfBucket", sql: q.ListSessionsOfBucket, args: append(page[:4:4], "'default'"), steps: []string{"sessions_of_bucket", "session_expiries_pkey"}},
		{name: "ListSessionsByKey", sql: q.ListSessionsByKey, args: []string{"'a'", id, `'\xff'`, "10", "'default'"}, steps: []string{"sessions_by_key", "session_expiries_pkey", "parts_of_owner"}},
		{name: "ListExpiredSessions", sql: q.ListExpiredSessions, args: append(page[:4:4], "'default'"), steps: []string{"session_expiries_by_time", "sessions_pkey"}},
		{name: "BeginPart", sql: q.BeginPart, args: []string{id, id, "1", "1", "1", "0", "1", "1", zero, `'\x00000000'`, "null"}, steps: []string{"sessions_pkey", "session_expiries_pkey", "parts_pkey"}},
		{name: "DropReplaced", sql: q.DropReplaced, args: []string{id, id, "1"}, steps: []string{"sessions_pkey", "session_expiries_pkey", "parts_of_owner", "parts_pkey"}},
		{name: "StorePart", sql: q.StorePart, args: []string{id, id, "1", "1", "1", "0", "1", "1", zero, `'\x00000000'`, "null", "0", "0"}, steps: []string{"sessions_pkey", "session_expiries_pkey"}},
		{name: "DropUnused", sql: q.DropUnused, args: []string{id, id, zero}, steps: []string{"sessions_pkey", "session_expiries_pkey", "parts_pkey"}},
		{name: "SlideSession", sql: q.SlideSession, args: []string{id, id, "'1 s'", "''"}, steps: []string{"session_expiries_pkey", "parts_pkey"}},
		{name: "LockPart", sql: q.LockPart, args: []string{id}, steps: []string{"parts_pkey"}},
		{name: "DropPart", sql: q.DropPart, args: []string{id, "'{0}'", ids}, steps: []string{"parts_pkey"}},
		{name: "LockSessions", sql: q.LockSessions, args: []string{ids}, steps: []string{"sessions_pkey"}},
		{name: "ClaimSessions", sql: q.ClaimSessions, args: []string{"'default'", ids, ids, other, "'a'", "1", "''", "false", "null", "1", "null", "''", "null", "null", "null", "''"}, steps: []string{"buckets_name", "sessions_pkey", "session_expiries_pkey", "parts_pkey"}},
		{name: "HandOver", sql: q.HandOver, args: []string{id, ids, "'{1}'", ids, id}, steps: []string{"files_pkey", "parts_of_owner"}},
		{name: "TakeParts", sql: q.TakeParts, args: []string{id, ids, "'{1}'", id}, steps: []string{"files_pkey", "parts_pkey"}},
		{name: "Parts", sql: q.Parts, args: []string{id, "5"}, steps: []string{"parts_of_owner"}},
		{name: "SetMarks", sql: q.SetMarks, args: []string{id, "null", "0"}, steps: []string{"files_pkey"}},
		{name: "PartsOf", sql: q.PartsOf, args: []string{id}, steps: []string{"parts_of_owner"}},
		{name: "EndSessions", sql: q.EndSessions, args: []string{ids, id, other}, steps: []string{"sessions_pkey", "session_expiries_pkey", "files_pkey", "parts_of_owner"}},
		{name: "EndSession", sql: q.EndSession, args: []string{other, "''"}, steps: []string{"sessions_pkey", "session_expiries_pkey"}},
		{name: "ShowFile", sql: q.ShowFile, args: []string{id, "'default'"}, steps: []string{"files_pkey"}},
		{name: "Guard", sql: q.Guard, args: []string{"'default'", "'a'", "false", "false", "null", "null", "'{x}'", id}, steps: []string{"buckets_name", "files_latest", "files_pkey"}},
		{name: "DeleteObject", sql: q.DeleteObject, args: []string{"'default'", "'a'", "null", "''", "false", "null"}, steps: []string{"buckets_name", "files_latest", "files_pkey"}},
		{name: "LockNames", sql: q.LockNames, args: []string{id, "'default'", "'a'"}, steps: []string{"buckets_name", "files_latest", "files_pkey"}},
		{name: "ClaimName", sql: q.ClaimName, args: []string{id, "'default'", "'a'"}, steps: []string{"buckets_name", "files_pkey"}},
		{name: "MoveName", sql: q.MoveName, args: []string{id, "'default'", "'a'", "''"}, steps: []string{"files_pkey", "files_behind", "buckets_name"}},
		{name: "BareFile", sql: q.BareFile, args: []string{id}, steps: []string{"files_pkey", "buckets_pkey"}},
		{name: "DropBucket", sql: q.DropBucket, args: []string{"'x'", "''", "'bucket.deleted'", "0", "''", "''", "null"}, steps: []string{"buckets_name", "files_by_time", "sessions_by_key"}},
		{name: "Documents", sql: q.Documents, args: []string{"'default'"}, steps: []string{"buckets_name", "bucket_documents_pkey"}},
		{name: "SetAttributes", sql: q.SetAttributes, args: []string{id, "null", "null", "null", "null", "''"}, steps: []string{"files_pkey"}},
		{name: "LatestFile", sql: q.LatestFile, args: []string{"'default'", "'a'"}, steps: []string{"files_latest", "parts_of_owner"}},
		{name: "FilesByID", sql: q.FilesByID, args: []string{ids}, steps: []string{"files_pkey"}},
		{name: "PartsOfFiles", sql: q.PartsOfFiles, args: []string{ids, "100"}, steps: []string{"parts_of_owner"}},
		{name: "FilesAfter", sql: q.FilesAfter, args: []string{id, "10"}, steps: []string{"files_pkey"}},
		{name: "PartsAfter", sql: q.PartsAfter, args: []string{id, "10"}, steps: []string{"parts_pkey"}},
		{name: "PartsByID", sql: q.PartsByID, args: []string{ids}, steps: []string{"parts_pkey"}},
		{name: "PartOfSession", sql: q.PartOfSession, args: []string{id}, steps: []string{"parts_pkey", "sessions_pkey"}},
		{name: "QueueRepairs", sql: q.QueueRepairs, args: []string{ids, "'{1}'", "'{0}'"}, steps: []string{"parts_pkey"}},
		{name: "Enqueue", sql: q.Enqueue, args: []string{"'{1}'", ids, "'{0}'", ids, "'{x}'", "'{0}'", "'{0}'", "1000", "'{0 s}'"}},
		{name: "Postpone", sql: q.Postpone, args: []string{"'{1}'", ids, "'{0}'", ids, "'{0}'", "'{x}'", "'1 s'"}, steps: []string{"tasks_pkey"}},
		{name: "QueueLost", sql: q.QueueLost, args: []string{id, "1", "3", "1000"}, steps: []string{"parts_pkey"}},
		{name: "FinishRepair", sql: q.FinishRepair, args: []string{id}, steps: []string{"tasks_pkey"}},
		{name: "FailFile", sql: q.FailFile, args: []string{id, "'x'", ids, "'{0}'", ids}, steps: []string{"files_pkey"}},
		{name: "UploadState", sql: q.UploadState, args: []string{id, "'default'"}, steps: []string{"files_pkey"}},
		{name: "LockFile", sql: q.LockFile, args: []string{id}, steps: []string{"files_pkey"}},
		{name: "MarkDropped", sql: q.MarkDropped, args: []string{id}, steps: []string{"parts_pkey"}},
		{name: "HideOthers", sql: q.HideOthers, args: []string{"'default'", "'a'", other}, steps: []string{"files_latest"}},
		{name: "EraseParts", sql: q.EraseParts, args: []string{id}, steps: []string{"parts_of_owner"}},
		{name: "CountByKey", sql: q.CountByKey, args: []string{"'default'", "'a'", "'b'", "1001"}, steps: []string{"files_latest", "files_behind"}},
		{name: "ListFilesByTime", sql: q.ListFilesByTime, args: []string{"'default'", "2", "0", "10", "'0001-01-01'", id}, steps: []string{"files_by_time"}},
		{
			name: "ListFilesByKey", sql: q.ListFilesByKey, args: []string{"'default'", "2", "0", "10", "'0001-01-01'", id, "'a'", "'b'"},
			steps: []string{"files_latest", "files_behind"},
		},
		{
			name: "ListObjectsByDelimiter", sql: q.ListObjectsByDelimiter, args: []string{"'default'", "'a'", "'b'", "11", "'/'", "'0'", "0"},
			steps: []string{"files_latest"},
		},
		{name: "ListObjects", sql: q.ListObjects, args: []string{"'default'", "'a'", "'b'", "11"}, steps: []string{"files_latest"}},
	}
}
