package db

import (
	"encoding/json"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// WithEvent adds the values of the event that a statement appends.
func (v Values) WithEvent(e store.Event) (Values, error) {
	v["event"], v["severity"], v["subject"], v["message"], v["caller"], v["attrs"] = e.Kind, int16(e.Severity), e.Subject, e.Message, e.Caller, nil
	if len(e.Attrs) > 0 {
		attrs, err := json.Marshal(e.Attrs)
		if err != nil {
			return nil, store.Errorf(store.Invalid, "the attributes of the event: %w", err)
		}
		v["attrs"] = attrs
	}
	return v, nil
}

// TimeOrNull makes the database use its own time instead of a zero one.
func TimeOrNull(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}
