package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/litemaas/litemaas/models"
)

// meter is what Prometheus reads.
type meter struct {
	durations *prometheus.HistogramVec
	handler   http.Handler
}

func newMeter(s *Server) *meter {
	m := &meter{durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "litemaas_http_request_duration_seconds", Help: "How long requests took.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30},
	}, []string{"method", "route", "status"})}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "litemaas_build_info", Help: "The program that runs.",
		ConstLabels: prometheus.Labels{"version": s.Version, "environment": s.Config.Environment},
	})
	build.Set(1)
	uptime := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "litemaas_uptime_seconds", Help: "How long the process has served."},
		func() float64 { return time.Since(s.started).Seconds() })
	all := prometheus.NewRegistry()
	all.MustRegister(m.durations, build, uptime, rows{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(all, promhttp.HandlerOpts{})
	return m
}

// methods are those that have a name of their own in metrics: a caller can make up others.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// observe counts a request; route is empty for a path that is none of ours.
func (m *meter) observe(method, route string, status int, took time.Duration) {
	if !slices.Contains(methods, method) {
		method = "other"
	}
	if route == "" {
		route = "none"
	}
	m.durations.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *meter) scrape(context.Context, *struct{}) (*rawResponse, error) {
	return &rawResponse{func(ctx huma.Context) {
		c := humagin.Unwrap(ctx)
		m.handler.ServeHTTP(c.Writer, c.Request)
	}}, nil
}

// rows are the metrics that the database holds. While it does not answer there are none.
type rows struct{ s *Server }

var (
	descLastSync  = prometheus.NewDesc("litemaas_last_sync_age_seconds", "How long ago the last sync completed.", nil, nil)
	descReachable = prometheus.NewDesc("litemaas_litellm_reachable", "Whether LiteLLM answered when last looked at: 1 or 0.", nil, nil)
	descProposals = prometheus.NewDesc("litemaas_open_proposals", "Removals that wait for a person to decide.", nil, nil)
	descOverdue   = prometheus.NewDesc("litemaas_key_revocations_overdue", "API keys that were revoked over 2 minutes ago, and of which it is not proved that LiteLLM refuses them.", nil, nil)
	descModels    = prometheus.NewDesc("litemaas_models", "Models of the catalogue.", []string{"availability"}, nil)
)

// Describe lists the metrics.
func (rows) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLastSync, descReachable, descProposals, descOverdue, descModels} {
		to <- d
	}
}

// scrapeWithin is how long the database may take for its metrics.
const scrapeWithin = 2 * time.Second

// Collect reads the metrics.
func (r rows) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	v, err := r.s.look(ctx)
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if n, err := r.s.Store.OverdueRevocations(ctx, models.RevocationAlarm); err == nil {
		gauge(descOverdue, float64(n))
	}
	gauge(descReachable, oneIf(v.litellm.Reachable))
	gauge(descProposals, oneIf(v.proposal != nil)) // there is never more than one
	if v.last != nil {
		gauge(descLastSync, v.age(*v.last.FinishedAt).Seconds())
	}
	gauge(descModels, float64(v.stats.Available), "available")
	gauge(descModels, float64(v.stats.Unavailable), "unavailable")
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
