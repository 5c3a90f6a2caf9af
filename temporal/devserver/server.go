package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
)

// server is a running Temporal server and, unless headless, its UI.
type server struct {
	temporal temporal.Server
	ui       *uiserver.Server
}

// start returns when the server answers. A port that is taken is an error that names it and
// its flag, before anything is started or written.
func start(ctx context.Context, o *options) (*server, error) {
	if err := checkPorts(o); err != nil {
		return nil, err
	}
	store, err := openStore(o)
	if err != nil {
		return nil, err
	}
	c, err := serverConfig(o.frontend(), store)
	if err != nil {
		return nil, err
	}
	s := &server{}
	s.temporal, err = temporal.NewServer(
		temporal.WithConfig(c), temporal.ForServices(temporal.DefaultServices), temporal.WithStaticHosts(hosts(c)),
		temporal.WithLogger(o.logger()), temporal.WithDynamicConfigClient(o.dynamic))
	if err != nil {
		return nil, err
	}
	if err := s.temporal.Start(); err != nil {
		return nil, err
	}
	if err := addAttributes(ctx, c.PublicClient.HostPort, o); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if !o.headless {
		s.ui = newUI(c.PublicClient.HostPort, o)
		go s.ui.Start() //nolint:errcheck // it returns none: it logs and ends the process
	}
	return s, nil
}

func (s *server) stop() error {
	if s.ui != nil {
		s.ui.Stop()
	}
	return s.temporal.Stop()
}

func checkPorts(o *options) error {
	if err := checkPort("--port", o.frontend()); err != nil || o.headless {
		return err
	}
	return checkPort("--ui-port", o.ui())
}

func checkPort(flag string, a netip.AddrPort) error {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return fmt.Errorf("%s %d cannot be used: %w", flag, a.Port(), err)
	}
	return l.Close()
}

func newUI(address string, o *options) *uiserver.Server {
	cfg := &uiconfig.Config{
		Host: host(o.ui().Addr()), Port: int(o.ui().Port()), TemporalGRPCAddress: address, EnableUI: true,
		DefaultNamespace: "default", HideLogs: true, DisableNewsFetch: true,
		CORS: uiconfig.CORS{CookieInsecure: true}, // there is no TLS
	}
	if len(o.namespaces) > 0 {
		cfg.DefaultNamespace = o.namespaces[0]
	}
	return uiserver.NewServer(server_options.WithConfigProvider(cfg))
}

// host is ip as it stands before a colon and a port.
func host(ip netip.Addr) string {
	if ip.Is6() {
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

// addAttributes gives namespaces that were in the data file the search attributes they lack.
func addAttributes(ctx context.Context, address string, o *options) error {
	if len(o.attributes) == 0 {
		return nil
	}
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: log.NewSdkLogger(o.logger())})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, namespace := range o.allNamespaces() {
		if err := addMissing(ctx, c.OperatorService(), namespace, o.attributes); err != nil {
			return err
		}
	}
	return nil
}

func addMissing(ctx context.Context, c operatorservice.OperatorServiceClient, namespace string, wanted map[string]enums.IndexedValueType) error {
	there, err := c.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	missing := maps.Clone(wanted)
	for name, is := range there.CustomAttributes {
		if want, ok := wanted[name]; ok && want != is {
			return fmt.Errorf("--search-attribute %s=%s: namespace %s has it as %s", name, want, namespace, is)
		}
		delete(missing, name)
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	if err != nil {
		return fmt.Errorf("--search-attribute: %w", err)
	}
	return nil
}

// logger writes to stderr, and stack traces only with what ends the process.
func (o *options) logger() log.Logger {
	if o.logLevel == "never" {
		return log.NewNoopLogger()
	}
	format := "console"
	if o.logFormat == "json" {
		format = "json"
	}
	l := log.BuildZapLogger(log.Config{Level: o.logLevel, Format: format})
	return log.NewZapLogger(l.WithOptions(zap.AddStacktrace(zap.DPanicLevel)))
}
