// Package schema holds the SQL: migrations and named queries, a folder per
// engine (sql/postgres, sql/sqlite), and the loader of the queries.
package schema

import (
	"fmt"
	"io/fs"
	"reflect"
	"strings"
)

// Load fills the string fields of the struct that into points to, each with the
// query of the field's name. Queries stand in the *.sql files of the file system's folder
// queries, each under a line "-- name: X"; comments before that line belong to it.
// A field without a query and a query without a field are errors, so that
// neither can be forgotten.
func Load(files fs.FS, into any) error {
	named, err := read(files)
	if err != nil {
		return err
	}
	v := reflect.ValueOf(into).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if named[name] == "" {
			return fmt.Errorf("no query is named %s", name)
		}
		v.Field(i).SetString(named[name])
		delete(named, name)
	}
	for name := range named {
		return fmt.Errorf("query %s is not used", name)
	}
	return nil
}

func read(files fs.FS) (map[string]string, error) {
	paths, err := fs.Glob(files, "queries/*.sql")
	if err != nil {
		return nil, err
	}
	named := map[string]string{}
	for _, path := range paths {
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		for _, chunk := range strings.Split("\n"+string(text), "\n-- name: ")[1:] {
			name, body, _ := strings.Cut(chunk, "\n")
			name = strings.TrimSpace(name)
			if _, twice := named[name]; twice {
				return nil, fmt.Errorf("%s: query %s is defined twice", path, name)
			}
			named[name] = statement(body)
		}
	}
	return named, nil
}

// statement removes the comment that belongs to the next query. A driver that finds
// text after a statement treats it as a script, and prepares it at every call.
func statement(body string) string {
	lines := strings.Split(strings.TrimSpace(body), "\n")
	for len(lines) > 0 {
		last := strings.TrimSpace(lines[len(lines)-1])
		if last != "" && !strings.HasPrefix(last, "--") {
			break
		}
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}
