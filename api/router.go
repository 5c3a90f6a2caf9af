package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/litemaas/litemaas/models"
)

// router is Gin with huma on it, and paths as our callers write them.
type router struct {
	engine *gin.Engine
	api    huma.API
	auth   authenticator
	limits limiter
	ops    operations
	fixed  map[string]bool // the methods and paths without a parameter

	openAPI, openAPIYAML []byte
}

func newRouter(s *Server, m *meter) *router {
	cfg := s.Config
	r := &router{
		engine: gin.New(), auth: authenticator{s.Auth, s.Store}, limits: limiter{cfg.Limits, s.counter()},
		ops: operations{store: s.Store}, fixed: map[string]bool{},
	}
	if s.Auth != nil {
		r.ops.sealer = s.Auth.sealer
	}
	r.engine.UseRawPath = true // a model's name may hold an escaped slash
	r.engine.RedirectTrailingSlash = false
	r.engine.Use(frame(m, cfg.TrustedProxies), cors(cfg.CORSOrigins), limit)
	r.engine.NoRoute(s.UI.serve(cfg.LiteLLMPublicURL), r.auth.identify, r.limits.count(ordinary), func(c *gin.Context) {
		answer(c, fail(c.Request.Context(), noRoute(c.Request)))
	})
	r.api = huma.NewAPI(humaConfig(), r)
	return r
}

func humaConfig() huma.Config {
	cfg := huma.DefaultConfig("LiteMaaS API", "1.0.0")
	cfg.CreateHooks = nil                                       // they add $schema to every body, and lose embedded structs on the way
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", "" // see docs.go
	cfg.Info.Description = "Models as a service beside LiteLLM. Errors are RFC 9457 problems that hold LiteMaaS's error envelope."
	cfg.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		adminKeyScheme: {Type: "http", Scheme: "bearer", Description: "An admin key: ltm_admin_…"},
		tokenScheme:    {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The access token of somebody who signed in."},
	}
	cfg.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[json.Number](), reflect.TypeFor[float64]()) // in the document
	cfg.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[models.USD](), reflect.TypeFor[float64]())
	return cfg
}

func noRoute(r *http.Request) error {
	return models.Errorf(models.NotFound, "Route %s %s not found", r.Method, r.URL.Path)
}

// Handle registers an operation of huma, and HEAD beside GET. It is refused that nobody has
// said who may call.
func (r *router) Handle(op *huma.Operation, handler func(huma.Context)) {
	need, ok := op.Metadata[accessKey].(access)
	if !ok {
		panic(op.OperationID + ": nobody has said who may call it")
	}
	costs, _ := op.Metadata[classKey].(class)
	path := strings.NewReplacer("{", ":", "}", "").Replace(op.Path)
	methods, before := []string{op.Method}, []gin.HandlerFunc{r.auth.identify, r.limits.count(costs), r.auth.guard(need)}
	if op.Method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	if repeatable, ok := op.Metadata[repeatKey].(bool); ok {
		before = append(before, r.ops.carry(repeatable))
	}
	for _, method := range methods {
		r.fixed[method+" "+op.Path] = path == op.Path
		r.engine.Handle(method, path, append(before, func(c *gin.Context) { handler(humagin.NewContext(op, c)) })...)
	}
}

// ServeHTTP serves a request, after bringing its path into our form.
func (r *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	written := req.URL.EscapedPath()
	if path := r.canonical(req.Method, written); path != written {
		clone := *req
		clone.URL = new(url.URL)
		*clone.URL = *req.URL
		clone.URL.RawPath = path
		req = &clone
	}
	r.engine.ServeHTTP(w, req)
}

// modelsPaths begin the paths that may end in the name of a model.
var modelsPaths = []string{"/api/v1/models/", "/api/v1/admin/models/"}

// canonical makes one segment of a model's name, however its slashes are written, unless the
// path is one of ours; it drops a slash at the end.
func (r *router) canonical(method, path string) string {
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	for _, begin := range modelsPaths {
		if name, ok := strings.CutPrefix(path, begin); ok && strings.Contains(name, "/") && !r.fixed[method+" "+path] {
			action := ""
			if before, ok := strings.CutSuffix(name, "/refresh"); ok && method == http.MethodPost {
				name, action = before, "/refresh"
			}
			path = begin + strings.ReplaceAll(name, "/", "%2F") + action
		}
	}
	return strings.ReplaceAll(path, "+", "%2B") // Gin would make a space of it
}

// document writes the OpenAPI document down, once all routes are there.
func (r *router) document() {
	var err error
	if r.openAPI, err = json.Marshal(r.api.OpenAPI()); err == nil {
		r.openAPIYAML, err = r.api.OpenAPI().YAML()
	}
	if err != nil {
		panic("OpenAPI document: " + err.Error())
	}
}

// endpoint is one line of the table of routes.
type endpoint struct {
	access       access
	class        class
	prefix       string
	method, path string
	id, summary  string
	status       int   // of success; 0: 200
	others       []int // statuses that come with the same body
	undisclosed  bool
	harmless     bool              // it may be done twice
	body         *huma.RequestBody // that the handler reads by itself; nil: none
}

var (
	public   = endpoint{access: access{anyone: true}}  // for anybody
	signedIn = endpoint{}                              // for anybody whom we know
	person   = endpoint{access: access{account: true}} // for users, about themselves
)

// may is for those with a permission.
func may(do models.Permission) endpoint { return endpoint{access: access{need: do}} }

// own is for users with a permission, about what is theirs.
func own(do models.Permission) endpoint { return endpoint{access: access{account: true, need: do}} }

func (e endpoint) get(path, id, summary string) endpoint {
	return e.at(http.MethodGet, path, id, summary)
}

func (e endpoint) post(path, id, summary string) endpoint {
	return e.at(http.MethodPost, path, id, summary)
}

func (e endpoint) put(path, id, summary string) endpoint {
	return e.at(http.MethodPut, path, id, summary)
}

func (e endpoint) patch(path, id, summary string) endpoint {
	return e.at(http.MethodPatch, path, id, summary)
}

func (e endpoint) delete(path, id, summary string) endpoint {
	return e.at(http.MethodDelete, path, id, summary)
}

func (e endpoint) at(method, path, id, summary string) endpoint {
	e.method, e.path, e.id, e.summary = method, e.prefix+path, id, summary
	return e
}

// under puts a prefix before the path.
func (e endpoint) under(prefix string) endpoint { e.prefix = prefix; return e }

// limited gives the endpoint a limit of its own, or none at all.
func (e endpoint) limited(c class) endpoint { e.class = c; return e }

// hidden leaves the endpoint out of the OpenAPI document.
func (e endpoint) hidden() endpoint { e.undisclosed = true; return e }

// or says that the endpoint answers with the same body under another status too.
func (e endpoint) or(status int) endpoint { e.others = append(e.others, status); return e }

// accepted says that the endpoint always answers 202.
func (e endpoint) accepted() endpoint { e.status = http.StatusAccepted; return e }

// created says that the endpoint always answers 201.
func (e endpoint) created() endpoint { e.status = http.StatusCreated; return e }

// repeatable says that a POST may be done twice as well: what is under way is joined, or what is
// so is made so. PUT, PATCH and DELETE are so by what they mean.
func (e endpoint) repeatable() endpoint { e.harmless = true; return e }

// mutates reports whether the endpoint changes what belongs to somebody we know, so that he may
// make an operation of it.
func (e endpoint) mutates() bool { return e.method != http.MethodGet && !e.access.anyone }

// takes says that the endpoint reads its body by itself, and what that is.
func (e endpoint) takes(what string, contentTypes ...string) endpoint {
	e.body = &huma.RequestBody{Description: what, Required: true, Content: map[string]*huma.MediaType{}}
	for _, t := range contentTypes {
		e.body.Content[t] = &huma.MediaType{}
	}
	return e
}

// redirects says that the endpoint always sends a browser elsewhere.
func (e endpoint) redirects() endpoint { e.status = http.StatusFound; return e }

// What the OpenAPI document calls admin keys and access tokens.
const (
	adminKeyScheme = "adminKey"
	tokenScheme    = "accessToken"
)

// accessKey is where an endpoint says to huma and back who may call it, classKey where it says
// what it costs, repeatKey where a mutation says whether it may be done twice.
const (
	accessKey = "access"
	classKey  = "class"
	repeatKey = "repeat"
)

// operation is the endpoint as huma knows it.
func (e endpoint) operation() huma.Operation {
	op := huma.Operation{
		OperationID: e.id, Method: e.method, Path: e.path, Summary: e.summary, Hidden: e.undisclosed,
		DefaultStatus: e.status, MaxBodyBytes: maxBody + 1, // huma refuses a body that fills it
		Metadata:  map[string]any{accessKey: e.access, classKey: e.class},
		Responses: map[string]*huma.Response{}, RequestBody: e.body,
	}
	if rest, ok := strings.CutPrefix(e.path, "/api/"); ok && rest != "v1" {
		noun, _, _ := strings.Cut(strings.TrimPrefix(rest, "v1/"), "/")
		op.Tags = []string{noun}
	}
	if e.mutates() {
		op.Parameters, op.Metadata[repeatKey] = operationParams(), e.harmless || e.method != http.MethodPost
	}
	if !e.access.anyone {
		op.Security = []map[string][]string{{tokenScheme: {}}}
		if !e.access.account {
			op.Security = append(op.Security, map[string][]string{adminKeyScheme: {}})
		}
	}
	return op
}
