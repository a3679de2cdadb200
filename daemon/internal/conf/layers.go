package conf

import (
	"bytes"
	"os"
	"slices"
	"strings"

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
	for _, variable := range s.Environ {
		name, text, _ := strings.Cut(variable, "=")
		if text == "" || !strings.HasPrefix(name, s.EnvPrefix) {
			continue
		}
		f, known := set.byEnv[name]
		switch {
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
