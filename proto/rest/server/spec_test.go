package server_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/proto/rest"
	"github.com/ringstore/ringstore/proto/rest/server"
)

// The description is valid, its examples fit their schemas, and every error is a problem document.
func TestSpec(t *testing.T) {
	t.Parallel()
	spec, err := server.GetSpec()
	require.NoError(t, err)
	require.NoError(t, spec.Validate(t.Context(), openapi3.EnableExamplesValidation()))

	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			require.NotEmpty(t, op.OperationID, "%s %s", method, path)
			for status, response := range op.Responses.Map() {
				if status < "400" || method == "HEAD" || path == "/health" {
					continue
				}
				media := response.Value.Content["application/problem+json"]
				require.NotNil(t, media, "%s %s %s", method, path, status)
				require.Equal(t, "#/components/schemas/Problem", media.Schema.Ref)
			}
		}
	}
}

// A client that reads a status it does not know can tell.
func TestEnumsAreClosed(t *testing.T) {
	t.Parallel()
	require.True(t, rest.StatusCompleted.Valid())
	require.False(t, rest.FileStatus("complete").Valid())
}
