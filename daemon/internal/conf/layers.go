package conf

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// fill reads the environment and the file; flags that were set take precedence.
func (s Spec) fill(set *settings) error {
	if err := s.fillFromEnv(set); err != nil {
		return err
	}
	if path := set.config.value.String(); path != "" {
		if err := s.fillFromFile(set, path); err != nil {
			return err
		}
	}
	for _, f := range set.fields {
		if f.twin == nil {
			continue
		}
		if err := s.readSecret(f); err != nil {
			return err
		}
	}
	return nil
}

func (s Spec) fillFromEnv(set *settings) error {
	k := koanf.New("=") // names of variables contain no =, so none is split
	err := k.Load(env.Provider("=", env.Opt{
		Prefix:      s.EnvPrefix,
		EnvironFunc: func() []string { return s.Environ },
	}), nil)
	if err != nil {
		return s.wrong("the environment cannot be read: %w", err)
	}
	for _, name := range k.Keys() {
		text := k.String(name)
		f, known := set.byEnv[name]
		switch {
		case text == "":
			continue
		case !known:
			if near := set.nearestEnv(name, len(s.EnvPrefix)); near != "" {
				return s.wrong("unknown environment variable %s: did you mean %s?", name, near)
			}
		case f.origin < fromEnv:
			f.origin = fromEnv
			if err := f.set(text); err != nil {
				return s.wrong("environment variable %s: %w", name, err)
			}
		}
	}
	return nil
}

func (s Spec) fillFromFile(set *settings, path string) error {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return s.wrong("--%s %s: %w", configFlag, path, err)
	}
	for _, key := range k.Keys() {
		f, known := set.byKey[key]
		if !known {
			return s.wrong("%s: unknown setting %q", at(path, key), key)
		}
		if f.origin >= fromFile {
			continue
		}
		f.origin = fromFile
		if err := f.setAny(k.Get(key)); err != nil {
			return s.wrong("%s: %s: %w", at(path, key), key, err)
		}
	}
	return nil
}

// set replaces the field's value, given as text.
func (f *field) set(text string) error {
	if list, ok := f.value.(pflag.SliceValue); ok {
		items := strings.Split(text, ",")
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		return list.Replace(items)
	}
	return f.value.Set(text)
}

// setAny replaces the field's value, given as a decoded YAML value.
func (f *field) setAny(v any) error {
	switch v := v.(type) {
	case nil:
		return fmt.Errorf("has no value")
	case []any:
		list, ok := f.value.(pflag.SliceValue)
		if !ok {
			return fmt.Errorf("is a list, want one %s", f.value.Type())
		}
		items := make([]string, len(v))
		for i := range v {
			items[i] = fmt.Sprint(v[i])
		}
		return list.Replace(items)
	case map[string]any:
		return fmt.Errorf("is a group, want one %s", f.value.Type())
	default:
		return f.set(fmt.Sprint(v))
	}
}

// readSecret reads a secret from the file that its twin names, if that was
// set by a source of higher precedence than the secret itself.
func (s Spec) readSecret(f *field) error {
	switch {
	case f.twin.origin == fromDefault || f.twin.origin < f.origin:
		return nil
	case f.twin.origin == f.origin:
		return s.wrong("--%s and --%s are both set, by the same source", f.flag, f.twin.flag)
	}
	b, err := os.ReadFile(f.twin.value.String())
	if err != nil {
		return s.wrong("--%s: %w", f.twin.flag, err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return s.wrong("--%s: %s is empty", f.twin.flag, f.twin.value.String())
	}
	return f.value.Set(string(b))
}

// at returns the file and the line where the last element of key first occurs, for the error message.
func at(path, key string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return path
	}
	name := key[strings.LastIndexByte(key, '.')+1:]
	for i, line := range strings.Split(string(b), "\n") {
		text := strings.Trim(strings.TrimSpace(line), `"'`)
		if rest, ok := strings.CutPrefix(text, name); ok && strings.HasPrefix(strings.TrimLeft(rest, `"' `), ":") {
			return fmt.Sprintf("%s line %d", path, i+1)
		}
	}
	return path
}

// nearestEnv returns the known variable that name is likely a misspelling of, or "".
func (set *settings) nearestEnv(name string, prefix int) string {
	known := make([]string, 0, len(set.byEnv))
	for e := range set.byEnv {
		known = append(known, e)
	}
	slices.Sort(known)
	for _, e := range known {
		slips := 1
		if len(e)-prefix > 6 {
			slips = 2 // short names of other programs may be that similar
		}
		if distance(name, e) <= slips {
			return e
		}
	}
	return ""
}

// distance is the number of letters to add, drop or change to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
