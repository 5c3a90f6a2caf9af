package litellm

import (
	"context"
	"net/url"
	"strings"
)

// Call makes a call for which the client has no method.
func (c *Client) Call(ctx context.Context, method, path string, body, out any) error {
	path, query, _ := strings.Cut(path, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	return c.do(ctx, call{method: method, path: path, query: values, body: body}, out)
}
