package api

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// words are what LiteMaaS says of a field (its validator is Ajv), where huma says it
// otherwise, with the code for programs.
var words = []struct {
	huma      *string
	ajv, code string
}{
	{&validation.MsgExpectedBoolean, "must be boolean", "type"},
	{&validation.MsgExpectedNumber, "must be number", "type"},
	{&validation.MsgExpectedInteger, "must be integer", "type"},
	{&validation.MsgExpectedString, "must be string", "type"},
	{&validation.MsgExpectedArray, "must be array", "type"},
	{&validation.MsgExpectedObject, "must be object", "type"},
	{&validation.MsgExpectedMinimumNumber, "must be >= %v", "minimum"},
	{&validation.MsgExpectedMaximumNumber, "must be <= %v", "maximum"},
	{&validation.MsgExpectedMinLength, "must NOT have fewer than %d characters", "minLength"},
	{&validation.MsgExpectedMaxLength, "must NOT have more than %d characters", "maxLength"},
	{&validation.MsgExpectedBePattern, "must be %s", "pattern"},
	{&validation.MsgExpectedOneOf, `must be one of "%s"`, "enum"},
	{&validation.MsgExpectedRequiredProperty, "must have required property '%s'", "required"},
	{&validation.MsgUnexpectedProperty, "must NOT have additional properties", "additionalProperties"},
}

// parsed are the words of huma for parameters that it cannot even parse.
var parsed = map[string]fieldError{
	"invalid integer": {Message: "must be integer", Code: "type"},
	"invalid float":   {Message: "must be number", Code: "type"},
	"invalid boolean": {Message: "must be boolean", Code: "type"},
}

// newFieldError is a finding of huma in our words: without the value, which may be secret.
func newFieldError(d *huma.ErrorDetail) fieldError {
	e := fieldError{Field: field(d.Location), Message: d.Message, Code: "invalid"}
	if p, ok := parsed[d.Message]; ok {
		e.Message, e.Code = p.Message, p.Code
		return e
	}
	for _, w := range words {
		fixed, _, _ := strings.Cut(w.ajv, "%")
		if strings.HasPrefix(d.Message, fixed) && len(fixed) > len("must be ") {
			e.Code = w.code
			if _, name, ok := strings.Cut(d.Message, "property '"); ok { // the missing one is to blame, not what misses it
				e.Field = field(d.Location + "." + strings.TrimSuffix(name, "'"))
			}
			return e
		}
	}
	switch {
	case strings.HasPrefix(d.Message, "invalid value"):
		e.Message, e.Code = "must be a UUID", "format"
	case d.Location == "body":
		e.Message, e.Code = "must be JSON: "+d.Message, "json"
	case strings.HasPrefix(d.Message, "must be "):
		e.Code = "pattern"
	}
	return e
}

// field is a place in the request as LiteMaaS names it: limit, not query.limit.
func field(location string) string {
	_, name, inside := strings.Cut(location, ".")
	if !inside {
		return location
	}
	return name
}

func init() { // huma keeps these as globals
	for _, w := range words {
		*w.huma = w.ajv
	}
	huma.DefaultArrayNullable = false // we never send null for a list
	huma.ValidateStrictCasing = true  // dryrun is not dryRun
}
