package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// TestEveryGatewayShowsTheUpkeep reads what the background work does through both gateways of a cluster, of which one runs it, and through the
// one that is left when the other is killed.
func TestEveryGatewayShowsTheUpkeep(t *testing.T) {
	t.Parallel()
	c := start(t, auto, cluster.Options{Gateways: 2})
	shows := func(url string) (loops int, age float64) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/health", nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, 0
		}
		defer resp.Body.Close()
		var h struct {
			Upkeep struct {
				Age   float64 `json:"report_age"`
				Loops []any   `json:"loops"`
			} `json:"upkeep"`
		}
		if json.NewDecoder(resp.Body).Decode(&h) != nil {
			return 0, 0
		}
		return len(h.Upkeep.Loops), h.Upkeep.Age
	}
	for _, url := range c.URLs {
		require.Eventually(t, func() bool { loops, age := shows(url); return loops >= 5 && age < 10 }, 30*time.Second, 50*time.Millisecond)
	}
	killed := time.Now()
	require.NoError(t, c.Gateways[0].Kill())
	require.Eventually(t, func() bool {
		loops, age := shows(c.URLs[1])
		return loops >= 5 && time.Duration(age*float64(time.Second)) < time.Since(killed)
	}, 60*time.Second, 50*time.Millisecond, "the gateway that is left reports now")
}
