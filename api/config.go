package api

import (
	"context"
	"net/netip"
	"time"

	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// Config is what an operator sets, and below what the other parts of the configuration say.
type Config struct {
	Listen      string          `mapstructure:"listen"`
	CORSOrigins []string        `mapstructure:"cors_origins"` // of web pages that may call us
	AdminKeys   []models.Secret `mapstructure:"admin_keys"`   // who sends one is an admin

	TrustedProxies []netip.Prefix `mapstructure:"trusted_proxies"` // that say where a request comes from
	UIDir          string         `mapstructure:"ui_dir"`          // of a built web UI; see OpenUI
	RevealMaxAge   time.Duration  `mapstructure:"reveal_max_age"`  // of the sign-in of who is shown a key's secret

	Verify            VerifyConfig `mapstructure:"-"`
	Usage             UsageConfig  `mapstructure:"-"`
	Limits            Limits       `mapstructure:"-"`
	OwnersResetSpend  bool         `mapstructure:"-"` // whether users reset what their keys spent
	Environment       string       `mapstructure:"-"` // development or production
	LiteLLMPublicURL  string       `mapstructure:"-"` // as users and their browsers reach LiteLLM
	TemporalUIURL     string       `mapstructure:"-"` // empty: no links
	TemporalNamespace string       `mapstructure:"-"`

	RaiseNeedsApproval bool `mapstructure:"-"` // whether an admin's raise of a budget waits for another's approval
}

type rootResponse struct {
	Body struct {
		Name        string `json:"name"`
		Version     string `json:"version"`
		Description string `json:"description"`
		Docs        string `json:"docs"`
	}
}

func (s *Server) root(context.Context, *struct{}) (*rootResponse, error) {
	out := &rootResponse{}
	out.Body.Name, out.Body.Version = "LiteMaaS API", s.Version
	out.Body.Description, out.Body.Docs = "LiteLLM Model as a Service API", "/docs"
	return out, nil
}

type configResponse struct {
	Body struct {
		Version              string   `json:"version"`
		UsageCacheTTLMinutes int      `json:"usageCacheTtlMinutes" doc:"How long the web UI may keep today's usage."`
		Environment          string   `json:"environment" enum:"development,production"`
		Currency             currency `json:"currency" doc:"How amounts of money are shown."`
		LiteLLMAPIURL        string   `json:"litellmApiUrl" doc:"Where keys are used."`
		AuthMode             string   `json:"authMode" enum:"oauth,mock" doc:"mock, in development: one may be anybody."`
		AuthProvider         string   `json:"authProvider,omitempty" enum:"oidc,openshift,mock"`
	}
}

type currency struct {
	Code   string `json:"code" example:"USD"`
	Symbol string `json:"symbol" example:"$"`
	Name   string `json:"name" example:"US Dollar"`
}

// dollars are what LiteLLM counts in.
var dollars = currency{Code: "USD", Symbol: "$", Name: "US Dollar"}

// usageCacheTTL is how long the web UI may keep today's usage, in minutes.
const usageCacheTTL = 5

// getConfig tells the web UI what it asks for before anybody has signed in.
func (s *Server) getConfig(context.Context, *struct{}) (*configResponse, error) {
	out := &configResponse{}
	out.Body.Version, out.Body.Environment = s.Version, s.Config.Environment
	out.Body.LiteLLMAPIURL, out.Body.AuthMode = s.Config.LiteLLMPublicURL, "oauth"
	if s.Auth != nil {
		out.Body.AuthProvider = s.Auth.config.Provider
	}
	if out.Body.AuthProvider == auth.ProviderMock {
		out.Body.AuthMode = auth.ProviderMock
	}
	out.Body.UsageCacheTTLMinutes = usageCacheTTL
	out.Body.Currency = dollars
	return out, nil
}

// analyticsConfig bounds the analytics pages of the web UI.
type analyticsConfig struct {
	Pagination struct {
		DefaultPageSize int `json:"defaultPageSize"`
		MaxPageSize     int `json:"maxPageSize"`
		MinPageSize     int `json:"minPageSize"`
	} `json:"pagination"`
	TopLimits struct {
		Users     int `json:"users"`
		Models    int `json:"models"`
		Providers int `json:"providers"`
	} `json:"topLimits"`
	DateRangeLimits struct {
		MaxAnalyticsDays int `json:"maxAnalyticsDays"`
		MaxExportDays    int `json:"maxExportDays"`
	} `json:"dateRangeLimits"`
	Warnings struct {
		LargeDateRangeDays int `json:"largeDateRangeDays"`
	} `json:"warnings"`
	Trends struct {
		CalculationPrecision int `json:"calculationPrecision"`
	} `json:"trends"`
	Export struct {
		MaxRows int `json:"maxRows"`
	} `json:"export"`
}

type analyticsConfigResponse struct{ Body analyticsConfig }

// getAnalyticsConfig answers LiteMaaS's defaults.
func (s *Server) getAnalyticsConfig(context.Context, *struct{}) (*analyticsConfigResponse, error) {
	var c analyticsConfig
	c.Pagination.DefaultPageSize, c.Pagination.MaxPageSize, c.Pagination.MinPageSize = 50, 500, 10
	c.TopLimits.Users, c.TopLimits.Models, c.TopLimits.Providers = 10, 10, 5
	c.DateRangeLimits.MaxAnalyticsDays, c.DateRangeLimits.MaxExportDays = 90, 365
	c.Warnings.LargeDateRangeDays, c.Trends.CalculationPrecision, c.Export.MaxRows = 30, 2, 10_000
	return &analyticsConfigResponse{c}, nil
}
