package conf

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// ErrHelp is returned by Load after it has printed the output of --help or --version;
// the program then ends with success.
var ErrHelp = errors.New("help was shown")

// Spec is the input of Load: the program, its settings and its environment.
type Spec struct {
	Program   string    // name as typed, for messages
	Summary   string    // one sentence for --help
	Usage     []string  // lines of --help without the program's name, such as "--data DIR [flags]"
	Version   string    // printed by --version; "" for none
	EnvPrefix string    // such as "RINGSTORE_"
	Target    any       // pointer to the struct of settings, holding the defaults; filled by Load
	Args      []string  // command line without the program's name
	Environ   []string  // as os.Environ gives it
	Output    io.Writer // of --help and --version
	Exposed   *[]string // set to the names of the secrets on the command line, which every user of the host can read; may be nil
	Lax       bool      // skip required settings and the Target's own rules, for a command that needs few of the settings
}

// Validator is an optional interface of a Target: rules between settings, checked
// after all are read. The error should name the flag at fault.
type Validator interface {
	Validate() error
}

// Load fills s.Target. It returns ErrHelp after --help and --version, and otherwise an
// Invalid *store.Error that names the setting at fault and never contains a secret. It
// panics if the declaration of the Target is not valid, which is a defect of the program
// that shows on its first start.
func Load(s Spec) error {
	set := describe(s)
	flags := newFlagSet(s, set)
	if err := flags.Parse(s.Args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return s.showHelp(set)
		}
		return s.wrong("%s", err)
	}
	if flags.Changed(versionFlag) {
		_, err := fmt.Fprintf(s.Output, "%s %s\n", s.Program, s.Version)
		return errors.Join(ErrHelp, err)
	}
	if flags.NArg() > 0 {
		return s.wrong("unexpected argument %q", flags.Arg(0))
	}
	if err := s.fill(set); err != nil {
		return err
	}
	if s.Exposed != nil {
		*s.Exposed = set.exposed()
	}
	return s.check(set)
}

// wrong returns the error of a command line, variable or file that cannot be used.
func (s Spec) wrong(format string, args ...any) *store.Error {
	return store.Errorf(store.Invalid, format, args...).WithHint("Run %s --help for all settings.", s.Program)
}

// check applies the rules that concern the filled struct.
func (s Spec) check(set *settings) error {
	if s.Lax {
		return nil
	}
	for _, f := range set.fields {
		if f.required && f.text() == "" {
			return s.wrong("--%s (or %s) is required: %s", f.flag, f.env, f.help)
		}
	}
	v, ok := s.Target.(Validator)
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		return s.wrong("%w", err)
	}
	return nil
}
