package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxUsagePayload is how many calls LiteLLM may tell of at once. It sends 512, if not told otherwise.
const MaxUsagePayload = 10_000

// UsagePayload is what LiteLLM's callback generic_api tells of.
type UsagePayload struct {
	Events   []UsageEvent // that have passed Check
	Rejected []RejectedUsage
}

// RejectedUsage is a call that the ledger cannot take.
type RejectedUsage struct {
	Index   int // from 0, among all that were sent
	Field   string
	Message string
}

// ReadUsagePayload reads the StandardLoggingPayload objects that LiteLLM sends, in each of its log
// formats: an array (json_array), one behind the other (ndjson), or a single one. It is Invalid when
// the body is none of them, or holds more than MaxUsagePayload.
func ReadUsagePayload(body []byte, now time.Time) (UsagePayload, error) {
	var out UsagePayload
	s := jsonScanner{text: body}
	list := s.take('[')
	if list && s.take(']') {
		return out, s.ended()
	}
	for n := 0; ; n++ {
		if n == MaxUsagePayload {
			return out, Errorf(Invalid, "more than %d calls at once are too many", MaxUsagePayload).On("body")
		}
		r, whole := readCall(&s, now)
		switch {
		case !whole:
			return out, s.broken()
		case !CallsModel(r.kind):
		case r.wrong != nil:
			out.Rejected = append(out.Rejected, RejectedUsage{n, r.wrong.Field, r.wrong.Message})
		default:
			out.Events = append(out.Events, r.event)
		}
		if list {
			if s.take(',') {
				continue
			}
			if !s.take(']') {
				return out, s.broken()
			}
			return out, s.ended()
		}
		if s.peek(); s.at == len(s.text) {
			return out, nil
		}
	}
}

func (s *jsonScanner) broken() error {
	return Errorf(Invalid, "what is at byte %d is not the JSON of a call, or of a list of them", s.at).On("body")
}

// ended makes sure that nothing comes any more.
func (s *jsonScanner) ended() error {
	if s.peek(); s.at < len(s.text) {
		return s.broken()
	}
	return nil
}

// callReader reads one StandardLoggingPayload.
type callReader struct {
	event        UsageEvent
	kind         string // call_type
	model, group string
	status       string
	began, ended float64 // seconds of Unix
	costUnknown  bool
	wrong        *Error // what is wrong with it first
}

// readCall reads one payload, and reports whether there was a whole value.
func readCall(s *jsonScanner, now time.Time) (callReader, bool) {
	var r callReader
	if s.peek() != '{' {
		r.blame("body", "must be an object")
		return r, s.value() != nil
	}
	if !s.members(r.field) {
		return r, false
	}
	r.finish(now)
	return r, true
}

// How long texts may be, in bytes: an index holds no more of some.
const (
	longestID   = 1000
	longestName = 500
)

// field reads a member of the payload, if it is one that counts.
func (r *callReader) field(name, value []byte) {
	switch e := &r.event; string(name) {
	case "id":
		e.RequestID = r.text("id", value, longestID)
	case "litellm_call_id":
		e.CallID = r.text("litellm_call_id", value, longestID)
	case "call_type":
		r.kind = r.text("call_type", value, longestName)
	case "status":
		r.status = r.text("status", value, longestName)
	case "model":
		r.model = r.text("model", value, longestName)
	case "model_group":
		r.group = r.text("model_group", value, longestName)
	case "custom_llm_provider":
		e.Provider = r.text("custom_llm_provider", value, longestName)
	case "startTime":
		r.began = r.seconds("startTime", value)
	case "endTime":
		r.ended = r.seconds("endTime", value)
	case "prompt_tokens":
		e.Prompt = r.count("prompt_tokens", value)
	case "completion_tokens":
		e.Completion = r.count("completion_tokens", value)
	case "response_cost":
		e.Cost = r.cost(value)
	case "response_cost_failure_debug_info":
		r.costUnknown = !isNull(value)
	case "metadata":
		if in := (jsonScanner{text: value}); !isNull(value) && !in.members(r.metadata) {
			r.blame("metadata", "must be an object")
		}
	}
}

func (r *callReader) metadata(name, value []byte) {
	switch e := &r.event; string(name) {
	case "user_api_key_hash":
		e.KeyHash = UsedKey(r.text("metadata.user_api_key_hash", value, longestName))
	case "user_api_key_user_id":
		e.UserID = r.text("metadata.user_api_key_user_id", value, longestName)
	case "user_api_key_team_id":
		e.TeamID = r.text("metadata.user_api_key_team_id", value, longestName)
	}
}

// finish makes the event of what was read.
func (r *callReader) finish(now time.Time) {
	e := &r.event
	if e.RequestID == "" {
		e.RequestID = e.CallID // as LiteLLM's own log has it
	}
	if r.costUnknown {
		e.Cost = nil
	}
	e.Requests = 1
	switch r.status {
	case "success":
	case "failure":
		e.Failed = 1
	default:
		r.blame("status", "must be success or failure")
	}
	e.Model = CalledModel(r.group, r.model, e.Failed > 0)
	if r.began > 0 {
		e.At = time.UnixMicro(int64(math.Round(r.began * 1e6))).UTC().Truncate(time.Millisecond)
	}
	if r.ended > 0 {
		e.Latency = time.Duration(math.Round((r.ended-r.began)*1e3)) * time.Millisecond
	}
	if r.wrong == nil {
		r.wrong, _ = errors.AsType[*Error](e.Check(now))
	}
}

// blame notes what is wrong, if it is the first thing.
func (r *callReader) blame(field, format string, args ...any) {
	if r.wrong == nil {
		r.wrong = Errorf(Invalid, format, args...).On(field)
	}
}

func isNull(value []byte) bool { return string(value) == "null" }

// text reads a string that a database can hold; of null, an empty one.
func (r *callReader) text(field string, value []byte, most int) string {
	if isNull(value) {
		return ""
	}
	var out string
	switch {
	case value[0] != '"':
		r.blame(field, "must be a string")
	case bytes.IndexByte(value, '\\') < 0:
		out = string(value[1 : len(value)-1])
	case json.Unmarshal(value, &out) != nil:
		r.blame(field, "must be a string")
	}
	if !utf8.ValidString(out) || strings.Contains(out, "\x00") {
		r.blame(field, "must be text")
	}
	if len(out) > most {
		r.blame(field, "must have at most %d bytes", most)
	}
	return out
}

// number reads a number; of null, zero.
func (r *callReader) number(field string, value []byte) float64 {
	if isNull(value) {
		return 0
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		r.blame(field, "must be a number")
		return 0
	}
	return f
}

// seconds reads a time in seconds of Unix; of null, none.
func (r *callReader) seconds(field string, value []byte) float64 {
	f := r.number(field, value)
	if f < 0 || f > math.MaxUint32 {
		r.blame(field, "must be a time in seconds since 1970")
	}
	return f
}

// count reads a whole number; of null, zero. What is out of range is for Check to say.
func (r *callReader) count(field string, value []byte) int64 {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return n
	}
	f := r.number(field, value) // Python may write 12.0
	if f != math.Trunc(f) || math.Abs(f) >= math.MaxInt64 {
		r.blame(field, "must be a whole number")
		return 0
	}
	return int64(f)
}

// cost reads an amount of dollars; of null, none.
func (r *callReader) cost(value []byte) *USD {
	if isNull(value) {
		return nil
	}
	usd, err := ParseUSD(string(value))
	if err != nil {
		r.blame("response_cost", "must be an amount of dollars")
		return nil
	}
	return &usd
}
