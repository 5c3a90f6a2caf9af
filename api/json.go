package api

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// optional is a field of a request that may be left out, and may be null, which are not the same.
type optional[T any] struct {
	sent  bool
	value *T // nil: null
}

// UnmarshalJSON notes that the field was sent.
func (o *optional[T]) UnmarshalJSON(raw []byte) error {
	o.sent = true
	return json.Unmarshal(raw, &o.value)
}

// object is an object of JSON that we hand on as it is.
type object struct{ json.RawMessage }

// Schema tells huma that it is one.
func (object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// Schema tells huma that null may stand for a value.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return &s
}
