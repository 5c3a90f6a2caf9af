package litellm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/litemaas/litemaas/models"
)

// list reads deployments; see rows.
func (c *Client) list(ctx context.Context, path string, query url.Values, each func(models.Deployment) error) (map[string]int, error) {
	return c.rows(ctx, path, query, func(raw json.RawMessage) error { return each(deploymentOf(raw)) })
}

// rows reads an answer {"data": [entries], …} entry by entry, and returns its other fields that
// are whole numbers.
func (c *Client) rows(ctx context.Context, path string, query url.Values, each func(json.RawMessage) error) (map[string]int, error) {
	rest := map[string]int{}
	k := call{method: http.MethodGet, path: path, query: query, patience: listPatience * c.timeout}
	err := c.send(ctx, k, func(body io.Reader) error {
		dec := json.NewDecoder(atMost(body, maxList))
		if err := expect(dec, '{'); err != nil {
			return err
		}
		listed := false
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return broken(err)
			}
			if key == "data" {
				listed = true
				err = entries(dec, each)
			} else {
				var value any
				err = broken(dec.Decode(&value))
				if n, ok := value.(float64); ok {
					rest[key.(string)] = int(n)
				}
			}
			if err != nil {
				return err
			}
		}
		if err := expect(dec, '}'); err != nil {
			return err
		}
		if !listed {
			return &strangeAnswerError{errors.New("it holds no list")}
		}
		return nil
	})
	return rest, err
}

// entries reads an array.
func entries(dec *json.Decoder, each func(json.RawMessage) error) error {
	if err := expect(dec, '['); err != nil {
		return err
	}
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return broken(err)
		}
		if err := each(raw); err != nil {
			return err
		}
	}
	return expect(dec, ']')
}

// deploymentOf reads one entry. One that is not what it should be becomes a deployment without
// a name, of which nobody can say that it is gone.
func deploymentOf(raw json.RawMessage) models.Deployment {
	var e struct {
		Name   string                     `json:"model_name"`
		Params map[string]json.RawMessage `json:"litellm_params"`
		Info   map[string]json.RawMessage `json:"model_info"`
	}
	if json.Unmarshal(raw, &e) != nil {
		return models.Deployment{}
	}
	return models.Deployment{Name: e.Name, Params: withoutNulls(e.Params), Info: withoutNulls(e.Info)}
}

// withoutNulls leaves out what is null: some 150 of 180 fields of a model_info.
func withoutNulls(m map[string]json.RawMessage) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, 16)
	for key, raw := range m {
		if string(raw) != "null" {
			out[key] = raw
		}
	}
	return out
}

// expect reads a bracket.
func expect(dec *json.Decoder, want json.Delim) error {
	switch got, err := dec.Token(); {
	case err != nil:
		return broken(err)
	case got != want:
		return &strangeAnswerError{fmt.Errorf("%v where %v should be", got, want)}
	}
	return nil
}

// broken marks an error of syntax as an answer that is not what it should be; the end of a
// connection is none.
func broken(err error) error {
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &strangeAnswerError{err}
	}
	return err
}

// textOf is a JSON value as text, whatever its type.
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
