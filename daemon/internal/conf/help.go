package conf

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// showHelp prints every setting with its flag, variable, default and meaning, and returns ErrHelp.
func (s Spec) showHelp(set *settings) error {
	var b strings.Builder
	if s.Summary != "" {
		fmt.Fprintf(&b, "%s\n\n", s.Summary)
	}
	b.WriteString("Usage:\n")
	usage := s.Usage
	if len(usage) == 0 {
		usage = []string{"[flags]"}
	}
	for _, line := range usage {
		fmt.Fprintf(&b, "  %s %s\n", s.Program, line)
	}
	b.WriteString("\nSettings. A flag beats the environment, which beats the file of --config.\n")
	for _, f := range set.fields {
		f.show(&b)
	}
	fmt.Fprintf(&b, "\n  --help\n        show this\n")
	if s.Version != "" {
		fmt.Fprintf(&b, "\n  --%s\n        show the version\n", versionFlag)
	}
	_, err := io.WriteString(s.Output, b.String())
	return errors.Join(ErrHelp, err)
}

func (f *field) show(b *strings.Builder) {
	head := "--" + f.flag
	if f.value.Type() != "bool" {
		head += " " + f.arg
	}
	fmt.Fprintf(b, "\n  %s, %s", head, f.env)
	switch {
	case f.required:
		b.WriteString(" (required)")
	case f.was != "":
		fmt.Fprintf(b, " (default %s)", f.was)
	}
	fmt.Fprintf(b, "\n        %s\n", f.help)
}
