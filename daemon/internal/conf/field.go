package conf

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Names that every program has.
const (
	configFlag  = "config"
	versionFlag = "version"
	fileSuffix  = "-file"
)

// origin is the source of a value; a higher one wins.
type origin int

const (
	fromDefault origin = iota
	fromFile
	fromEnv
	fromFlag
)

// field is one setting.
type field struct {
	key      string // in the file: db.max-conns
	flag     string // db-max-conns
	env      string // RINGSTORE_DB_MAX_CONNS
	arg      string // placeholder of the value in help
	help     string
	required bool
	value    pflag.Value // sets the target's field
	was      string      // default as text, "" for secrets
	origin   origin      // of the current value
	twin     *field      // of a secret: the setting that names a file to read it from
	twinOf   *field      // of such a setting: the secret
}

// settings are the fields of a target, found by name.
type settings struct {
	fields []*field
	config *field // names the YAML file
	byKey  map[string]*field
	byEnv  map[string]*field
}

// describe reads the declaration of s.Target.
func describe(s Spec) *settings {
	set := &settings{byKey: map[string]*field{}, byEnv: map[string]*field{}}
	v := reflect.ValueOf(s.Target)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("conf: target is a %T, want a pointer to a struct", s.Target))
	}
	set.addStruct(s.EnvPrefix, "", v.Elem())
	set.config = newField(s.EnvPrefix, configFlag, new(string))
	set.config.arg, set.config.help = "FILE", "YAML file of settings"
	set.add(set.config)
	delete(set.byKey, configFlag) // a file does not name another
	return set
}

func (set *settings) addStruct(prefix, path string, v reflect.Value) {
	for i := range v.NumField() {
		declared := v.Type().Field(i)
		name := declared.Tag.Get("conf")
		pointer := v.Field(i).Addr()
		switch {
		case name == "" && declared.Anonymous && v.Field(i).Kind() == reflect.Struct:
			set.addStruct(prefix, path, v.Field(i))
		case name == "":
			continue // not a setting
		case isGroup(v.Field(i)):
			set.addStruct(prefix, path+name+".", v.Field(i))
		default:
			f := newField(prefix, path+name, pointer.Interface())
			f.arg = cmpOr(declared.Tag.Get("arg"), f.value.Type())
			f.help = declared.Tag.Get("help")
			f.required = declared.Tag.Get("required") == "true"
			set.add(f)
			set.addTwin(prefix, f)
		}
	}
}

// addTwin adds, for a secret, the setting that names a file to read it from.
func (set *settings) addTwin(prefix string, f *field) {
	if _, secret := f.value.(*secretValue); !secret {
		return
	}
	f.was = ""
	f.twin = newField(prefix, f.key+fileSuffix, new(string))
	f.twin.arg, f.twin.help, f.twin.twinOf = "FILE", "file to read --"+f.flag+" from", f
	set.add(f.twin)
}

func (set *settings) add(f *field) {
	if set.byKey[f.key] != nil || set.byEnv[f.env] != nil {
		panic("conf: the setting " + f.key + " is declared twice")
	}
	set.fields = append(set.fields, f)
	set.byKey[f.key] = f
	set.byEnv[f.env] = f
}

// isGroup reports whether v is a struct of settings, not one value.
func isGroup(v reflect.Value) bool {
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	return v.Kind() == reflect.Struct && !text
}

func newField(prefix, key string, pointer any) *field {
	flag := strings.ReplaceAll(key, ".", "-")
	env := prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	f := &field{key: key, flag: flag, env: env, value: newValue(key, pointer)}
	f.was = f.text()
	return f
}

// text returns the current value in the form that set accepts; for a secret only whether it is set.
func (f *field) text() string {
	if list, ok := f.value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.value.String()
}

// newValue wraps a pointer to a field as a value that can be set from text.
func newValue(key string, pointer any) pflag.Value {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	const name = "v"
	switch p := pointer.(type) {
	case *Secret:
		return (*secretValue)(p)
	case *string:
		fs.StringVar(p, name, *p, "")
	case *bool:
		fs.BoolVar(p, name, *p, "")
	case *int:
		fs.IntVar(p, name, *p, "")
	case *int64:
		fs.Int64Var(p, name, *p, "")
	case *float64:
		fs.Float64Var(p, name, *p, "")
	case *time.Duration:
		fs.DurationVar(p, name, *p, "")
	case *[]string:
		fs.StringSliceVar(p, name, *p, "")
	case encoding.TextUnmarshaler:
		return textValue{p}
	default:
		panic(fmt.Sprintf("conf: the setting %s is a %T, which is not supported", key, pointer))
	}
	return fs.Lookup(name).Value
}

// textValue lets any type with MarshalText and UnmarshalText be a setting.
type textValue struct{ encoding.TextUnmarshaler }

func (v textValue) Set(s string) error { return v.UnmarshalText([]byte(s)) }

func (v textValue) String() string {
	m, ok := v.TextUnmarshaler.(encoding.TextMarshaler)
	if !ok {
		return ""
	}
	b, err := m.MarshalText()
	if err != nil {
		return ""
	}
	return string(b)
}

func (v textValue) Type() string {
	return strings.ToLower(reflect.TypeOf(v.TextUnmarshaler).Elem().Name())
}

func newFlagSet(s Spec, set *settings) *pflag.FlagSet {
	flags := pflag.NewFlagSet(s.Program, pflag.ContinueOnError)
	flags.SetOutput(discard{})
	flags.Usage = func() {} // printed by Load, to Spec.Output
	for _, f := range set.fields {
		flag := flags.VarPF(&recorder{f.value, f}, f.flag, "", f.help)
		if f.value.Type() == "bool" {
			flag.NoOptDefVal = "true"
		}
	}
	if s.Version != "" {
		flags.Bool(versionFlag, false, "")
	}
	return flags
}

// recorder records that a flag set its field.
type recorder struct {
	pflag.Value
	field *field
}

func (r *recorder) Set(s string) error {
	r.field.origin = fromFlag
	return r.Value.Set(s)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
