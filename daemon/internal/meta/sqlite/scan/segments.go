package scan

import (
	"database/sql"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Segments reads the columns that the queries list a segment of the metadata log as.
func Segments(rows *sql.Rows) (all []store.LogSegment, err error) {
	err = db.Each(rows, func() error {
		var x store.LogSegment
		var row partRow
		var log []byte
		err := rows.Scan(append([]any{&log, &x.Number, &x.Term, &x.Kind, &x.Group, &x.First, &x.Last}, row.columns()...)...)
		if err != nil {
			return err
		}
		x.Log = store.LogID(log)
		x.Part, err = row.part()
		all = append(all, x)
		return err
	})
	return all, err
}
