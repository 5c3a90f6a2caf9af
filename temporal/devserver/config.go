package main

import (
	"net"
	"net/netip"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

// clusterName and clusterID are kept in a data file: another name would not find its data.
const (
	clusterName = "active"
	clusterID   = "5e0f1f0c-6c0e-4d0b-9f6a-0a5d8f2b7c31"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// serverConfig describes a cluster of one machine. Only the frontend is reachable from
// elsewhere; the other services get free ports on the loopback interface.
func serverConfig(frontend netip.AddrPort, store *config.SQL) (*config.Config, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	c := &config.Config{Services: map[string]config.Service{
		string(primitives.FrontendService): service(frontend),
		string(primitives.HistoryService):  service(ports[0]),
		string(primitives.MatchingService): service(ports[1]),
		string(primitives.WorkerService):   service(ports[2]),
	}}
	address := dialable(frontend).String()
	c.PublicClient.HostPort = address
	c.Global.Membership.MaxJoinDuration = 30 * time.Second
	c.Global.Membership.BroadcastAddress = loopback.String()
	c.DCRedirectionPolicy.Policy = "noop"
	c.Archival.History.State, c.Archival.Visibility.State = "disabled", "disabled"
	c.NamespaceDefaults.Archival.History.State, c.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"
	c.Persistence = config.Persistence{
		DefaultStore: "sqlite", VisibilityStore: "sqlite", NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{"sqlite": {SQL: store}},
	}
	c.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10, MasterClusterName: clusterName, CurrentClusterName: clusterName,
		ClusterInformation: map[string]cluster.ClusterInformation{
			clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address, ClusterID: clusterID},
		},
	}
	return c, nil
}

func service(listen netip.AddrPort) (s config.Service) {
	s.RPC.BindOnIP, s.RPC.GRPCPort = listen.Addr().String(), int(listen.Port())
	return s
}

// hosts tells the services where the others are, without a gossip protocol.
func hosts(c *config.Config) map[primitives.ServiceName]static.Hosts {
	h := map[primitives.ServiceName]static.Hosts{}
	for name, s := range c.Services {
		listen := netip.AddrPortFrom(netip.MustParseAddr(s.RPC.BindOnIP), uint16(s.RPC.GRPCPort))
		h[primitives.ServiceName(name)] = static.SingleLocalHost(dialable(listen).String())
	}
	return h
}

// dialable turns "every interface" into one that can be dialled.
func dialable(a netip.AddrPort) netip.AddrPort {
	switch a.Addr() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(loopback, a.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
	default:
		return a
	}
}

// freePorts returns n different addresses where nothing listens now.
func freePorts(n int) ([]netip.AddrPort, error) {
	free := make([]netip.AddrPort, n)
	for i := range free {
		l, err := net.Listen("tcp", netip.AddrPortFrom(loopback, 0).String())
		if err != nil {
			return nil, err
		}
		defer l.Close() // after the last, so that no two are the same
		free[i] = l.Addr().(*net.TCPAddr).AddrPort()
	}
	return free, nil
}

// dynamicConfig is what a server for one developer, or for the tests of one, wants other
// than the defaults. The command line may change it.
func dynamicConfig() dynamicconfig.StaticClient {
	const unlimited = 100_000
	return dynamicconfig.StaticClient{
		// New namespaces and search attributes are there at once.
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
		dynamicconfig.NamespaceCacheRefreshInterval.Key():           time.Second,
		dynamicconfig.WorkerPerNamespaceWorkerStartRate.Key():       100.0, // schedules run on these
		// One shard has all the tasks: at the default of 20 polls a second each waits up to 50 ms.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   200,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      200,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 200,
		// Tests make many namespaces and many calls, and no neighbour needs protection.
		dynamicconfig.FrontendRPS.Key():                                                        unlimited,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                                 unlimited,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():                       unlimited,
		dynamicconfig.FrontendNamespaceReplicationInducingAPIsRPS.Key():                        unlimited,
		dynamicconfig.FrontendMaxNamespaceNamespaceReplicationInducingAPIsRPSPerInstance.Key(): unlimited,
		dynamicconfig.FrontendGlobalNamespaceNamespaceReplicationInducingAPIsRPS.Key():         unlimited,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                                          unlimited,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                                           unlimited,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():                                          unlimited,
		// Enough for a laptop.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8096,
	}
}
