package restapi

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/ringstore/ringstore/daemon/internal/cluster"
	"github.com/ringstore/ringstore/daemon/internal/httpedge"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/proto/rest"
)

// ListNodes implements GET /nodes.
func (a *api) ListNodes(c echo.Context) error {
	view := a.cfg.Nodes.View()
	out := rest.NodeList{ClusterID: view.Cluster.String(), Epoch: int64(view.Epoch), Nodes: make([]rest.Node, 0, len(view.Members))}
	for _, m := range view.Members {
		out.Nodes = append(out.Nodes, nodeOf(m))
	}
	return httpedge.WriteJSON(c, http.StatusOK, out)
}

// ListGateways implements GET /gateways.
func (a *api) ListGateways(c echo.Context) error {
	out := rest.GatewayList{Gateways: []rest.Gateway{}}
	if a.cfg.Upkeep == nil {
		return httpedge.WriteJSON(c, http.StatusOK, out)
	}
	all, err := a.cfg.Upkeep.ListGateways(c.Request().Context())
	if err != nil {
		return err
	}
	for _, g := range all {
		out.Gateways = append(out.Gateways, rest.Gateway{
			Name: g.Name, Version: g.Version, SchemaMin: g.SchemaMin, SchemaMax: g.SchemaMax,
			StartedAt: g.StartedAt, BeatAge: seconds(g.Silence), Live: g.Silence < store.GatewaySilence,
		})
	}
	return httpedge.WriteJSON(c, http.StatusOK, out)
}

// UpdateNode implements PATCH /nodes/{node_id}: an absent member keeps its value, null clears it.
func (a *api) UpdateNode(c echo.Context, text string) error {
	id, err := store.ParseNodeID(text)
	if err != nil {
		return store.Errorf(store.NotFound, "%v", err).WithHint("Node ids are UUIDs; GET /nodes lists them.")
	}
	var in struct {
		Zone   json.RawMessage `json:"desired_zone"`
		Weight json.RawMessage `json:"desired_weight"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if err := a.cfg.Nodes.Refresh(ctx); err != nil { // the view may be from before the last change
		return err
	}
	m, _ := a.cfg.Nodes.View().Member(id)
	desired := m.Desired
	if err := setDesired(in.Zone, &desired.Zone, "desired_zone", "a text"); err != nil {
		return err
	}
	if err := setDesired(in.Weight, &desired.Weight, "desired_weight", "a whole number"); err != nil {
		return err
	}
	if err := a.cfg.Nodes.SetDesired(ctx, id, desired, httpedge.Caller(c).AccessKey); err != nil {
		return err
	}
	m, ok := a.cfg.Nodes.View().Member(id)
	if !ok {
		return store.Errorf(store.NotFound, "node %s was removed meanwhile", id)
	}
	return httpedge.WriteJSON(c, http.StatusOK, nodeOf(m))
}

// setDesired sets the value to what the request has; null clears it. Invalid.
func setDesired[T any](raw json.RawMessage, value **T, name, what string) error {
	switch {
	case raw == nil:
		return nil
	case string(raw) == "null":
		*value = nil
		return nil
	}
	*value = new(T)
	if err := json.Unmarshal(raw, *value); err != nil {
		return store.Errorf(store.Invalid, "%s %.64q is not %s", name, raw, what).WithHint("Send null to use what the node reports.")
	}
	return nil
}

// nodeOf shows what counts, what the node reports, and what was set in its place.
func nodeOf(m cluster.Member) rest.Node {
	return rest.Node{
		NodeID: m.ID.String(), Name: m.Name, Address: m.Address, Zone: m.EffectiveZone(), Weight: m.EffectiveWeight(),
		ReportedZone: m.Zone, ReportedWeight: m.Weight, DesiredZone: m.Desired.Zone, DesiredWeight: m.Desired.Weight,
		State: rest.NodeState(m.State.String()), Status: rest.NodeStatus(m.Status.String()), Version: m.Version,
		JoinedAt: m.JoinedAt, LastBeat: m.LastBeat,
		Capacity: rest.Capacity{Total: m.Capacity.Total, Used: m.Capacity.Used, Free: m.Capacity.Free, Chunks: m.Capacity.Chunks},
	}
}
