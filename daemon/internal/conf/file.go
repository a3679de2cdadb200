package conf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// fillFromFile sets what the YAML file at path says and no source of higher precedence has set.
func (s Spec) fillFromFile(set *settings, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return s.wrong("--%s: %w", configFlag, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return s.wrong("--%s %s: %w", configFlag, path, err)
	}
	if len(doc.Content) == 0 { // an empty file
		return nil
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return s.wrong("%s line %d: the file is not a list of settings, each as name: value", path, doc.Content[0].Line)
	}
	return s.fillFromGroup(set, path, "", doc.Content[0])
}

// fillFromGroup sets the settings of one mapping; group is its key and a dot, or "".
func (s Spec) fillFromGroup(set *settings, path, group string, mapping *yaml.Node) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		name, value := mapping.Content[i], mapping.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		key := group + name.Value
		f, known := set.byKey[key]
		switch {
		case seen[key]:
			return s.wrong("%s line %d: %s is set twice", path, name.Line, key)
		case known && f.origin < fromFile:
			f.origin = fromFile
			if err := f.setNode(value); err != nil {
				return s.wrong("%s line %d: %s: %w", path, name.Line, key, err)
			}
		case !known && value.Kind == yaml.MappingNode && set.hasGroup(key+"."):
			if err := s.fillFromGroup(set, path, key+".", value); err != nil {
				return err
			}
		case !known:
			return s.wrong("%s line %d: unknown setting %q", path, name.Line, key)
		}
		seen[key] = true
	}
	return nil
}

func (set *settings) hasGroup(prefix string) bool {
	return slices.ContainsFunc(set.fields, func(f *field) bool { return strings.HasPrefix(f.key, prefix) })
}

// setNode replaces the field's value by that of a YAML node, whose scalars are used as they are written.
func (f *field) setNode(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.MappingNode:
		return fmt.Errorf("is a group, want one %s", f.value.Type())
	case n.Kind == yaml.SequenceNode:
		return f.setList(n)
	case n.Tag == "!!null":
		return errors.New("has no value")
	}
	return f.set(n.Value)
}

func (f *field) setList(n *yaml.Node) error {
	list, ok := f.value.(pflag.SliceValue)
	if !ok {
		return fmt.Errorf("is a list, want one %s", f.value.Type())
	}
	items := make([]string, len(n.Content))
	for i, item := range n.Content {
		if item.Kind != yaml.ScalarNode {
			return errors.New("is a list of lists or groups, want a list of values")
		}
		items[i] = item.Value
	}
	return list.Replace(items)
}
