package litellmtest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// fields is a request body, field by field, so that null and absent differ.
type fields map[string]json.RawMessage

// fieldType is what a field may hold.
type fieldType int

const (
	number fieldType = iota
	whole
	text
	textList
	dict
	flag
)

// field is one that a body may hold.
type field struct {
	name string
	typ  fieldType
}

// readFields reads a body and checks the types of the fields it knows; null is always good.
func readFields(r *request, known []field) (fields, answer) {
	if err := jsonBody(r); err != nil {
		return nil, err
	}
	var f fields
	_ = json.Unmarshal(r.body, &f) // it is an object
	var problems []object
	for _, one := range known {
		if !f.has(one.name) {
			continue
		}
		if kind, msg := one.typ.wrong(f[one.name]); kind != "" {
			problems = append(problems, problem(kind, msg, "body", one.name))
		}
	}
	if problems != nil {
		return nil, unprocessable(problems...)
	}
	return f, nil
}

// jsonBody refuses what is no JSON object.
func jsonBody(r *request) answer {
	var body any
	switch err := json.Unmarshal(r.body, &body); {
	case len(r.body) == 0:
		return unprocessable(problem("missing", "Field required", "body"))
	case err != nil:
		return unprocessable(problem("json_invalid", "JSON decode error", "body", 0))
	}
	if _, isObject := body.(map[string]any); !isObject {
		return internalError
	}
	return nil
}

// wrong says what is wrong with a value, in FastAPI's words.
func (t fieldType) wrong(raw json.RawMessage) (kind, msg string) {
	var v any
	_ = json.Unmarshal(raw, &v) // it is part of valid JSON
	switch t {
	case number, whole:
		n, isNumber := v.(float64)
		if s, ok := v.(string); ok {
			parsed, err := strconv.ParseFloat(s, 64)
			n, isNumber = parsed, err == nil
			if !isNumber && t == number {
				return "float_parsing", "Input should be a valid number, unable to parse string as a number"
			}
			if !isNumber {
				return "int_parsing", "Input should be a valid integer, unable to parse string as an integer"
			}
		}
		switch {
		case !isNumber && t == number:
			return "float_type", "Input should be a valid number"
		case !isNumber:
			return "int_type", "Input should be a valid integer"
		case t == whole && n != math.Trunc(n):
			return "int_from_float", "Input should be a valid integer, got a number with a fractional part"
		}
	case text:
		if _, ok := v.(string); !ok {
			return "string_type", "Input should be a valid string"
		}
	case textList:
		if _, ok := v.([]any); !ok {
			return "list_type", "Input should be a valid list"
		}
	case dict:
		if _, ok := v.(map[string]any); !ok {
			return "dict_type", "Input should be a valid dictionary"
		}
	case flag:
		switch v := v.(type) {
		case bool:
		case string:
			if !isFlag(v) {
				return "bool_parsing", "Input should be a valid boolean, unable to interpret input"
			}
		default:
			return "bool_type", "Input should be a valid boolean"
		}
	}
	return "", ""
}

// isFlag reports whether a text stands for true or false.
func isFlag(text string) bool {
	return slices.Contains([]string{"true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n"}, strings.ToLower(text))
}

// has reports whether the field is there and not null.
func (f fields) has(name string) bool { return f[name] != nil && string(f[name]) != "null" }

// null reports whether the field is there and null.
func (f fields) null(name string) bool { return string(f[name]) == "null" }

// keepLimits forgets every null that would take a limit away, as an old LiteLLM does.
func (f fields) keepLimits() {
	for _, limit := range []string{"max_budget", "budget_duration", "tpm_limit", "rpm_limit", "max_parallel_requests"} {
		if f.null(limit) {
			delete(f, limit)
		}
	}
}

// get reads a field that was checked into a pointer of its type; nil when it is not there or
// null.
func get[T any](f fields, name string) *T {
	if !f.has(name) {
		return nil
	}
	v := new(T)
	raw := f[name]
	if json.Unmarshal(raw, v) == nil {
		return v
	}
	_ = json.Unmarshal([]byte(strings.Trim(string(raw), `"`)), v) // a number in quotes
	return v
}

// set is get for an update: absent leaves what is there, null takes it away.
func set[T any](f fields, name string, into **T) {
	if _, there := f[name]; there {
		*into = get[T](f, name)
	}
}

// checkBudget refuses amounts and periods of budgets as LiteLLM does; typ and param are those
// of the call.
func checkBudget(f fields, typ string, param any) answer {
	if b := get[float64](f, "max_budget"); b != nil && *b < 0 {
		return pythonError(http.StatusBadRequest, "max_budget must be a non-negative finite number. Received: "+pythonFloat(*b), typ, param)
	}
	return checkPeriod(f, typ, param)
}

func checkPeriod(f fields, typ string, param any) answer {
	if d := get[string](f, "budget_duration"); d != nil {
		if !isPeriod(*d) {
			msg := "Invalid budget_duration '" + *d + "'. Use a format like '1h', '24h', '7d', or '30d'."
			return proxyError(http.StatusBadRequest, `{'error': "`+msg+`"}`, typ, param)
		}
	}
	return nil
}

// pythonFloat prints as Python does.
func pythonFloat(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e16 {
		return fmt.Sprintf("%.1f", f)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
