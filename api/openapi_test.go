package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

const openAPIFile = "../docs/openapi.json"

// The committed document is the one that the code makes; `make openapi` writes it.
func TestOpenAPI(t *testing.T) {
	var now bytes.Buffer
	require.NoError(t, json.Indent(&now, serve(nil, nil, nil).get(t, "/openapi.json").is(http.StatusOK).Body.Bytes(), "", "  "))
	now.WriteByte('\n')
	if *update {
		require.NoError(t, os.WriteFile(openAPIFile, now.Bytes(), 0o644))
	}
	committed, err := os.ReadFile(openAPIFile)
	require.NoError(t, err)
	was, is := strings.Split(string(committed), "\n"), strings.Split(now.String(), "\n")
	for i := range min(len(was), len(is)) {
		require.Equal(t, was[i], is[i], "line %d of %s: run `make openapi`, and commit it", i+1, openAPIFile)
	}
	require.Len(t, was, len(is), "run `make openapi`, and commit %s", openAPIFile)
}

// document is what the tests look at of an OpenAPI document.
type document struct {
	OpenAPI    string                          `json:"openapi"`
	Info       struct{ Title, Version string } `json:"info"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas         map[string]schema `json:"schemas"`
		SecuritySchemes map[string]any    `json:"securitySchemes"`
	} `json:"components"`
}

type operation struct {
	OperationID, Summary string
	Tags                 []string
	Parameters           []struct {
		Name, In string
		Required bool
		Schema   schema
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema schema }
	}
	Security []map[string][]string
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Properties map[string]schema
	Required   []string
	Items      *schema
}

// The document is a valid OpenAPI 3.1 one: what it refers to is there, and what must be said
// is said.
func TestOpenAPIIsValid(t *testing.T) {
	raw := serve(nil, nil, nil).get(t, "/openapi.json").is(http.StatusOK).Body.Bytes()
	var doc document
	require.NoError(t, json.Unmarshal(raw, &doc))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	require.NotEmpty(t, doc.Info.Title)
	require.NotEmpty(t, doc.Info.Version)
	for _, ref := range regexp.MustCompile(`"\$ref":"([^"]*)"`).FindAllStringSubmatch(string(raw), -1) {
		name, ok := strings.CutPrefix(ref[1], "#/components/schemas/")
		require.True(t, ok, ref[1])
		require.Contains(t, doc.Components.Schemas, name)
	}
	for name, s := range doc.Components.Schemas {
		for _, field := range s.Required {
			require.Contains(t, s.Properties, field, name)
		}
	}
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		require.Regexp(t, `^/(api/(v1|auth|rbac)|\.well-known)(/|$)`, path)
		for method, op := range operations {
			where := method + " " + path
			require.Contains(t, []string{"get", "post", "put", "patch", "delete"}, method)
			require.NotEmpty(t, op.Summary, where)
			require.False(t, ids[op.OperationID], "%s: the ID %s is taken", where, op.OperationID)
			ids[op.OperationID] = true
			checkOperation(t, where, path, op)
			for _, need := range op.Security {
				for name := range need {
					require.Contains(t, doc.Components.SecuritySchemes, name)
				}
			}
		}
	}
}

func checkOperation(t *testing.T, where, path string, op operation) {
	t.Helper()
	var named []string
	for _, p := range op.Parameters {
		require.Contains(t, []string{"path", "query", "header"}, p.In, where)
		require.NotNil(t, p.Schema.Type, "%s: %s", where, p.Name)
		if p.In == "path" {
			require.True(t, p.Required, "%s: %s", where, p.Name)
			named = append(named, "{"+p.Name+"}")
		}
	}
	slices.Sort(named)
	inPath := regexp.MustCompile(`\{\w+\}`).FindAllString(path, -1)
	slices.Sort(inPath)
	require.Equal(t, inPath, named, where)
	require.Contains(t, op.Responses, "default", where)
	require.Contains(t, op.Responses["default"].Content, "application/problem+json", where)
	for status, r := range op.Responses {
		require.NotEmpty(t, r.Description, "%s: %s", where, status)
		require.Regexp(t, `^(default|[1-5]\d\d)$`, status)
	}
}

// The page that shows the document needs nothing from the internet.
func TestDocs(t *testing.T) {
	s := serve(nil, nil, nil)
	page := s.get(t, "/docs").is(http.StatusOK)
	require.Contains(t, page.Header().Get("Content-Type"), "text/html")
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'self'")
	require.Equal(t, page.Body.String(), s.get(t, "/docs/").is(http.StatusOK).Body.String())
	found := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.Len(t, found, 5)
	for _, link := range found {
		require.NotEmpty(t, s.get(t, link[1]).is(http.StatusOK).Body.Bytes(), link[1])
	}
	require.Contains(t, page.Body.String(), `/openapi.json`)
	require.JSONEq(t, s.get(t, "/openapi.json").Body.String(), s.get(t, "/docs/json").is(http.StatusOK).Body.String())
	require.Contains(t, s.get(t, "/docs/yaml").is(http.StatusOK).Body.String(), "openapi: 3.1.0")
	s.get(t, "/docs/static/other.js").problem(http.StatusNotFound, "NOT_FOUND")
}
