package litellm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/litemaas/litemaas/models"
)

// words is what an error body says.
type words struct {
	message, param string
	fromLiteLLM    bool // not some other server's page
}

// wordsOf reads every shape of error body that LiteLLM has:
//
//	{"error": {"message": "…", "param": "key_alias"}}   most calls; the message may be a Python dict as text
//	{"error": "…"}
//	{"detail": {"error": "…"}}                          /budget, /user/delete; also "message", and an object inside
//	{"detail": "…"}                                     FastAPI itself
//	{"detail": [{"loc": ["body", "max_budget"], "msg": "…"}]}
//	{"status": "healthy", "db": "disconnected"}         /health, with a 503
//
// and plain text. A page of HTML, which a server before LiteLLM may send, says nothing.
func wordsOf(raw []byte) words {
	var body struct {
		Error, Detail, Message, DB json.RawMessage
	}
	if json.Unmarshal(raw, &body) != nil {
		text := strings.TrimSpace(string(raw))
		if strings.HasPrefix(text, "<") {
			text = ""
		}
		return words{message: text}
	}
	for _, part := range []json.RawMessage{body.Error, body.Detail, body.Message} {
		if w := wordsIn(part); w.message != "" {
			w.fromLiteLLM = true
			return w
		}
	}
	if w := wordsIn(body.DB); w.message != "" {
		return words{message: "its database is " + w.message, fromLiteLLM: true}
	}
	return words{}
}

// wordsIn reads one value of an error body.
func wordsIn(raw json.RawMessage) words {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0:
		return words{}
	case raw[0] == '"':
		var text string
		_ = json.Unmarshal(raw, &text) // it was valid a moment ago
		return words{message: fromPython(text)}
	case raw[0] == '[':
		return validation(raw)
	}
	var o struct {
		Message, Error json.RawMessage
		Param          any
	}
	if json.Unmarshal(raw, &o) != nil {
		return words{}
	}
	w := wordsIn(o.Message)
	if w.message == "" {
		w = wordsIn(o.Error)
	}
	if param, ok := o.Param.(string); ok && param != "None" {
		w.param = param
	}
	return w
}

// validation reads the list in which FastAPI says what is wrong with a request.
func validation(raw json.RawMessage) words {
	var list []struct {
		Loc []any
		Msg string
	}
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return words{}
	}
	var w words
	said := make([]string, len(list))
	for i, one := range list {
		said[i] = one.Msg
		if len(one.Loc) < 2 { // the first says body, query or path
			continue
		}
		loc := make([]string, 0, len(one.Loc)-1)
		for _, part := range one.Loc[1:] {
			loc = append(loc, fmt.Sprint(part))
		}
		field := strings.Join(loc, ".")
		said[i] = field + ": " + one.Msg
		if w.param == "" {
			w.param = field
		}
	}
	w.message = strings.Join(said, "; ")
	return w
}

// python is {'error': "…"} as Python prints it.
var python = regexp.MustCompile(`(?s)^\{'(?:error|message|detail)': (?:'(.*)'|"(.*)")\}$`)

var unquote = strings.NewReplacer(`\'`, `'`, `\n`, " ", `\\`, `\`)

// fromPython takes the text out of a dict that was printed instead of encoded.
func fromPython(text string) string {
	if m := python.FindStringSubmatch(strings.TrimSpace(text)); m != nil {
		return unquote.Replace(m[1] + m[2])
	}
	return text
}

// maxWords is how much of LiteLLM's words is kept, in bytes: some errors bring a stack trace.
const maxWords = 600

// secretShapes are texts that look like a credential, with what takes their place.
var secretShapes = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`), "$1 [secret]"},
	{regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{6,}`), "sk-[secret]"},
	{regexp.MustCompile(`\b(?:AIza[\w-]{20,}|AKIA[A-Z0-9]{12,}|(?:hf|gsk|ghp|xai)[_-][A-Za-z0-9]{16,}|eyJ[\w-]{10,}\.[\w.-]+)`), "[secret]"},
	{regexp.MustCompile(`://[^/\s@'"]+@`), "://[secret]@"},
	{regexp.MustCompile(`(?i)\b(api[_-]?key|[a-z_]*secret[a-z_]*|password|access_token|authorization)(["']?\s*[:=]\s*["']?)[^\s"',;&}\]]{4,}`), "$1$2[secret]"},
}

// redact takes out of a text what is secret, or looks it, and what is too long.
func (c *Client) redact(text string, hide []models.Secret) string {
	for _, s := range append([]models.Secret{c.key}, hide...) {
		if len(s.Reveal()) > 3 {
			text = strings.ReplaceAll(text, s.Reveal(), "[secret]")
		}
	}
	for _, shape := range secretShapes {
		text = shape.find.ReplaceAllString(text, shape.put)
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}
