package postgres

import (
	"fmt"
	"io/fs"
	"reflect"
	"strings"

	sqlfiles "github.com/ringstore/ringstore/sql/postgres"
)

// queries are the statements of sql/postgres/queries, each under its name there.
type queries struct {
	CreateBucket, Bucket, ListBuckets, UpdateBucket, LockBucket, DropBucket           string
	ClaimUpload, ReplaceLatest, DropPlanned, StoreFiles, CompleteUpload, UploadState  string
	FailFile, FileState, DeleteFile, File, LatestFile                                 string
	ListObjects, ListObjectsByDelimiter                                               string
	ListFilesByTime, ListFilesByTimeDown, ListFilesByKey, ListFilesByKeyDown          string
	Part, PartsAfter, MoveChunk                                                       string
	EnsureCluster, LockCluster, JoinNode, Members, BeatNodes, NodeState, SetNodeState string
	Enqueue, Claim, ClaimOfNodes, Finish, Postpone, Depth                             string
	AcquireLease, RenewLease, ReleaseLease                                            string
	SaveCredential, Credential, ListCredentials, DeleteCredential                     string
}

// loadQueries fills every field; a missing or unknown name is a defect that the first test finds.
func loadQueries() (*queries, error) {
	named := map[string]string{}
	paths, err := fs.Glob(sqlfiles.Queries, "queries/*.sql")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := fs.ReadFile(sqlfiles.Queries, path)
		if err != nil {
			return nil, err
		}
		for _, chunk := range strings.Split("\n"+string(text), "\n-- name: ")[1:] {
			name, body, _ := strings.Cut(chunk, "\n")
			named[strings.TrimSpace(name)] = strings.TrimSpace(body)
		}
	}
	q := new(queries)
	v := reflect.ValueOf(q).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if named[name] == "" {
			return nil, fmt.Errorf("no query is named %s", name)
		}
		v.Field(i).SetString(named[name])
		delete(named, name)
	}
	for name := range named {
		return nil, fmt.Errorf("query %s is not used", name)
	}
	return q, nil
}
