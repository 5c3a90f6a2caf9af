package litellmtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// object is JSON.
type object = map[string]any

// answer writes itself. A handler makes it under the lock; it is written after.
type answer interface{ write(http.ResponseWriter) }

// plain is an answer that is known whole.
type plain struct {
	status int
	header http.Header
	body   []byte
}

func (a plain) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // who hung up misses it
}

// jsonAnswer encodes body now, while what it points to stands still.
func jsonAnswer(status int, body any) plain {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return plain{status: http.StatusInternalServerError, body: []byte(strconv.Quote(err.Error()))}
	}
	return plain{status: status, body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}
}

// The types that LiteLLM puts into its errors; they mean nothing.
const (
	typeInternal = "internal_server_error"
	typeAuth     = "auth_error"
	typeNotFound = "not_found_error"
	typeBad      = "bad_request_error"
)

// proxyError is LiteLLM's own error body.
func proxyError(status int, message, typ string, param any) plain {
	return jsonAnswer(status, object{"error": object{
		"message": message, "type": typ, "param": param, "code": strconv.Itoa(status),
	}})
}

// pythonError is one whose message is a dict, printed.
func pythonError(status int, message, typ string, param any) plain {
	quote := "'"
	if strings.Contains(message, "'") {
		quote = `"`
	}
	message = strings.ReplaceAll(message, "\n", `\n`)
	return proxyError(status, "{'error': "+quote+message+quote+"}", typ, param)
}

// internalError is LiteLLM's answer to what it did not think of.
var internalError = jsonAnswer(http.StatusInternalServerError, object{"error": object{"message": "Internal server error", "type": typeInternal}})

// detail is FastAPI's error body.
func detail(status int, what any) plain { return jsonAnswer(status, object{"detail": what}) }

// problem is one entry of a 422.
func problem(typ, msg string, loc ...any) object {
	return object{"type": typ, "loc": loc, "msg": msg}
}

func unprocessable(problems ...object) plain {
	return detail(http.StatusUnprocessableEntity, problems)
}

const (
	licence = "You must be a LiteLLM Enterprise user to use this feature. If you have a license please set `LITELLM_LICENSE` in your env. Get a 7 day trial key here: https://www.litellm.ai/enterprise#trial. \nPricing: https://www.litellm.ai/#pricing"
	noSave  = "Model create was saved to the database, but the model id(s) ['%s'] are not live in this pod's router after the reload and are not being served by this pod. Other pods reload on their own interval. Check server logs for 'Error upserting deployment' or 'Error creating deployment' for the cause."
)

// at is a time as LiteLLM writes it in most places; info is the other way it has.
func at(t *time.Time) any   { return written(t, "2006-01-02T15:04:05.000000Z") }
func info(t *time.Time) any { return written(t, "2006-01-02T15:04:05.000000+00:00") }

func written(t *time.Time, layout string) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(layout)
}

// pages works out one page of n things. The answer is an error when the query is wrong.
func pages(r *request, sizeName string, size, most, n int) (page pageOf, err answer) {
	page = pageOf{number: 1, size: size}
	var problems []object
	for _, q := range []struct {
		name string
		into *int
		most int
	}{{"page", &page.number, 0}, {sizeName, &page.size, most}} {
		text := r.URL.Query().Get(q.name)
		if text == "" {
			continue
		}
		v, bad := strconv.Atoi(text)
		switch {
		case bad != nil:
			problems = append(problems, problem("int_parsing", "Input should be a valid integer, unable to parse string as an integer", "query", q.name))
		case v < 1:
			problems = append(problems, problem("greater_than_equal", "Input should be greater than or equal to 1", "query", q.name))
		case q.most > 0 && v > q.most:
			problems = append(problems, problem("less_than_equal", fmt.Sprintf("Input should be less than or equal to %d", q.most), "query", q.name))
		}
		*q.into = v
	}
	if problems != nil {
		return page, unprocessable(problems...)
	}
	page.total, page.pages = n, (n+page.size-1)/page.size
	page.from = min(n, (page.number-1)*page.size)
	page.to = min(n, page.from+page.size)
	return page, nil
}

// pageOf is a page and its place: entries from up to, not including, to.
type pageOf struct{ number, size, total, pages, from, to int }
