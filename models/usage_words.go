package models

import "strings"

// What LiteLLM's words about a call mean for the ledger. They are the same in what it pushes and in
// its log, save where it says otherwise here.

// CallsModel reports whether something that LiteLLM tells of is a call of a model. It tells of every
// request that it refuses, and names it by its path then: /v1/models, with a key that was revoked.
func CallsModel(callType string) bool { return !strings.HasPrefix(callType, "/") }

// UsedKey is the hash of the key of a call; empty: none. LiteLLM has a name there for its master key,
// and what was presented itself where that cannot be a key of its own, which may be a secret of
// somebody else's.
func UsedKey(word string) string {
	if len(word) != 64 || strings.Trim(word, "0123456789abcdef") != "" {
		return ""
	}
	return word
}

// CalledModel is the name by which a model was called. A call that failed before LiteLLM knew of any
// model has none: what it names then is what the caller wrote in what it pushes, and may be another
// thing in its log.
func CalledModel(group, model string, failed bool) string {
	if group == "" && !failed {
		return model
	}
	return group
}
