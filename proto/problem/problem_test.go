package problem_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/proto/problem"
)

// Numbers and names are stable: queues hold the numbers, and clients act on the names.
func TestKind_NumbersAndNamesAreStable(t *testing.T) {
	t.Parallel()
	for k, name := range []string{
		"internal", "not_found", "exists", "conflict", "invalid", "denied", "corrupt", "no_quorum",
		"no_space", "unavailable", "canceled", "too_large", "out_of_range", "outcome_unknown",
		"precondition_failed",
	} {
		require.Equal(t, name, problem.Kind(k).String())
		require.Equal(t, problem.Kind(k), problem.Parse(name))
		require.Contains(t, problem.Kinds(), problem.Kind(k))
	}
	for k, name := range []string{"ok", "usage", "partial", "different", "interrupted"} {
		require.Equal(t, name, (problem.OK + problem.Kind(k)).String())
		require.Equal(t, problem.Internal, problem.Parse(name), "%s must not come from a server", name)
	}
}

func TestKind_UnknownOnesAreInternal(t *testing.T) {
	t.Parallel()
	require.Equal(t, problem.Internal, problem.Parse("a kind of a later version"))
	for _, k := range []problem.Kind{problem.Kind(len(problem.Kinds())), problem.OK - 1, problem.Interrupted + 1, 255} {
		require.Equal(t, "internal", k.String())
	}
}

func TestKind_IsATargetOfErrorsIs(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("read: %w", problem.NotFound)
	require.ErrorIs(t, err, problem.NotFound)
	require.NotErrorIs(t, err, problem.Exists)
	require.EqualError(t, err, "read: not found")
	require.True(t, errors.Is(problem.NoSpace, problem.NoSpace))
}

// The codes that openapi.yaml lists are exactly the kinds of failed requests.
func TestKinds_AreTheCodesOfTheDescription(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../rest/openapi.yaml")
	require.NoError(t, err)
	enum := regexp.MustCompile(`(?s)\n    ProblemCode:\n.*?enum: *\[(.*?)\]`).FindSubmatch(text)
	require.NotNil(t, enum, "openapi.yaml has no ProblemCode")
	described := strings.FieldsFunc(string(enum[1]), func(r rune) bool { return strings.ContainsRune(" ,\n", r) })
	var names []string
	for _, k := range problem.Kinds() {
		names = append(names, k.String())
	}
	slices.Sort(described)
	slices.Sort(names)
	require.Equal(t, names, described)
}
