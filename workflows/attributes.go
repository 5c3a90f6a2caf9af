package workflows

import (
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
)

// The search attributes, by which a person filters runs in the Temporal UI.
var (
	attrTrigger = temporal.NewSearchAttributeKeyKeyword("LiteMaaSTrigger") // what started the run
	attrOutcome = temporal.NewSearchAttributeKeyKeyword("LiteMaaSOutcome") // how it ended
	attrSubject = temporal.NewSearchAttributeKeyKeyword("LiteMaaSSubject") // the thing it is about
)

// SearchAttributes are what a namespace must have; `litemaas migrate` registers them.
func SearchAttributes() map[string]enums.IndexedValueType {
	out := map[string]enums.IndexedValueType{}
	for _, key := range []temporal.SearchAttributeKey{attrTrigger, attrOutcome, attrSubject} {
		out[key.GetName()] = key.GetValueType()
	}
	return out
}
