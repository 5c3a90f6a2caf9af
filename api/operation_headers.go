package api

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/litemaas/litemaas/models"
)

// The headers of operations: draft-ietf-httpapi-idempotency-key-header, and RFC 7240.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotent-Replayed"
	preferHeader      = "Prefer"
	respondAsync      = "respond-async"
)

// keyForm is a key as we take it: 1 to 255 visible characters of ASCII.
var keyForm = regexp.MustCompile(`^[\x21-\x7e]{1,255}$`)

// idempotencyKey is the key that a request gives itself; empty, if it gives none. The draft
// wants it in quotation marks; most clients send it without. Both are the same key. It is
// Invalid when it is none.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values(idempotencyHeader)
	if len(values) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(values[0])
	ok := len(values) == 1
	if rest, quoted := strings.CutPrefix(key, `"`); quoted && ok {
		key, ok = unquote(rest)
	}
	if !ok || !keyForm.MatchString(key) {
		return "", models.Errorf(models.Invalid, "must be one key of 1 to 255 visible ASCII characters, such as a UUID").On(idempotencyHeader)
	}
	return key, nil
}

// unquote reads a string of RFC 8941 after its first quotation mark.
func unquote(rest string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '"':
			return b.String(), i == len(rest)-1
		case '\\':
			i++
			if i == len(rest) || rest[i] != '"' && rest[i] != '\\' {
				return "", false
			}
			b.WriteByte(rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// preference is what a caller prefers: not to wait, or no longer than some time.
type preference struct {
	async bool
	wait  time.Duration // before it is answered that the work goes on
}

// newPreference reads the header Prefer. What we do not know of is nothing to complain of.
func newPreference(h http.Header) preference {
	var p preference
	for _, line := range h.Values(preferHeader) {
		for one := range strings.SplitSeq(line, ",") {
			one, _, _ = strings.Cut(one, ";")
			name, value, _ := strings.Cut(one, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case respondAsync:
				p.async = true
			case "wait":
				if n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 16); err == nil {
					p.wait = time.Duration(n) * time.Second
				}
			}
		}
	}
	return p
}

// patience is how long the caller waits, who would be let wait that long otherwise, and wants to
// wait so long at least.
func (p preference) patience(usual, least time.Duration) time.Duration {
	if !p.async {
		return usual
	}
	return min(usual, max(p.wait, least))
}

// locationParam is what a 202 says beside its body.
var locationParam = &huma.Param{Schema: &huma.Schema{Type: huma.TypeString, Description: "Where one sees how it ends: the operation, or something nearer."}}

// operationParams are the headers that every mutation of a known caller takes.
func operationParams() []*huma.Param {
	text := func(name, doc string, longest *int) *huma.Param {
		return &huma.Param{Name: name, In: "header", Description: doc, Schema: &huma.Schema{Type: huma.TypeString, MaxLength: longest}}
	}
	return []*huma.Param{
		text(idempotencyHeader, "The same request under the same key is carried out once, and answered the same, for 24 hours.", new(257)),
		text(preferHeader, "respond-async: do not wait; the Location of the 202 is the operation. With wait=10: wait so many seconds.", nil),
	}
}
