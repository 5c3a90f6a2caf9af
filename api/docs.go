package api

import (
	"context"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/swaggest/swgui/v5emb"

	"github.com/litemaas/litemaas/models"
)

// swagger is Swagger UI with its files in the binary: many networks do not reach the
// internet's.
var swagger = v5emb.New("LiteMaaS API", "/openapi.json", "/docs/static")

// docsFiles are the files that the page loads.
var docsFiles = map[string]bool{
	"swagger-ui.css": true, "swagger-ui-bundle.js": true, "swagger-ui-standalone-preset.js": true,
	"favicon-16x16.png": true, "favicon-32x32.png": true,
}

// docsPolicy lets the page run its own scripts, and no others.
const docsPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

// rawResponse is written by its body.
type rawResponse struct{ Body func(huma.Context) }

func docsPage(context.Context, *struct{}) (*rawResponse, error) {
	return &rawResponse{func(ctx huma.Context) { serveDocs(ctx, "", "no-store") }}, nil
}

type docsFileRequest struct {
	File string `path:"file"`
}

func docsFile(_ context.Context, in *docsFileRequest) (*rawResponse, error) {
	if !docsFiles[in.File] {
		return nil, models.Errorf(models.NotFound, "%s is no file of the page", in.File)
	}
	return &rawResponse{func(ctx huma.Context) { serveDocs(ctx, in.File, "public, max-age=3600") }}, nil
}

func serveDocs(ctx huma.Context, file, cache string) {
	c := humagin.Unwrap(ctx)
	c.Header("Content-Security-Policy", docsPolicy)
	c.Header("Cache-Control", cache)
	r := c.Request.Clone(ctx.Context())
	r.URL = &url.URL{Path: "/docs/static/" + file}
	swagger.ServeHTTP(c.Writer, r)
}

// textResponse is a document that is ready to be sent.
type textResponse struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (r *router) openapiJSON(context.Context, *struct{}) (*textResponse, error) {
	return &textResponse{"application/json", r.openAPI}, nil
}

func (r *router) openapiYAML(context.Context, *struct{}) (*textResponse, error) {
	return &textResponse{"application/yaml", r.openAPIYAML}, nil
}
