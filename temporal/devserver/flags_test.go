package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/dynamicconfig"
)

func parse(t *testing.T, args ...string) (*options, error) {
	t.Helper()
	o, f := defaults(), pflag.NewFlagSet("start-dev", pflag.ContinueOnError)
	o.register(f)
	return o, f.Parse(args)
}

func TestFlags(t *testing.T) {
	t.Run("the UI is a thousand ports above the server", func(t *testing.T) {
		o, err := parse(t, "--ip", "localhost")
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1:7233", o.frontend().String())
		require.Equal(t, "127.0.0.1:8233", o.ui().String())
		require.Equal(t, "in memory", o.data())
	})
	t.Run("the UI has a place of its own", func(t *testing.T) {
		o, err := parse(t, "--ip", "::1", "--port", "65000", "--ui-ip", "0.0.0.0")
		require.NoError(t, err)
		require.Equal(t, "[::1]:65000", o.frontend().String())
		require.Equal(t, "0.0.0.0:65535", o.ui().String(), "there are no higher ports")
		require.Equal(t, "[::1]", host(o.ip))
	})
	t.Run("namespaces come besides the default one", func(t *testing.T) {
		o, err := parse(t, "--namespace", "litemaas", "-n", "default")
		require.NoError(t, err)
		require.Equal(t, []string{"default", "litemaas"}, o.allNamespaces())
	})
	t.Run("search attributes have types", func(t *testing.T) {
		o, err := parse(t, "--search-attribute", "City=Keyword", "--search-attribute", "Tags=KeywordList")
		require.NoError(t, err)
		require.Equal(t, map[string]enums.IndexedValueType{
			"City": enums.INDEXED_VALUE_TYPE_KEYWORD, "Tags": enums.INDEXED_VALUE_TYPE_KEYWORD_LIST,
		}, o.attributes)
	})
	t.Run("dynamic config has the types that the server wants", func(t *testing.T) {
		o, err := parse(t, "--dynamic-config-value", "Frontend.RPS=7", "--dynamic-config-value", "a=false",
			"--dynamic-config-value", "b=1.5", "--dynamic-config-value", `c="5s"`)
		require.NoError(t, err)
		for key, want := range map[string]any{
			"frontend.rps": 7, "a": false, "b": 1.5, "c": "5s", "system.namespaceCacheRefreshInterval": time.Second,
		} {
			require.Equal(t, want, o.dynamic[dynamicconfig.MakeKey(key)], key)
		}
	})
}

func TestUnknownFlagValues(t *testing.T) {
	for flag, values := range map[string][]string{
		"--ip":                   {"here", ""},
		"--port":                 {"0", "65536", "-1", "http"},
		"--ui-ip":                {"256.0.0.1"},
		"--ui-port":              {"0", "x"},
		"--headless":             {"perhaps"},
		"--search-attribute":     {"City", "=Keyword", "City=keyword", "City=Unspecified"},
		"--dynamic-config-value": {"frontend.rps", "=1", "a=b", "a="},
		"--log-level":            {"loud"},
		"--log-format":           {"xml"},
		"--stop-with-stdin":      {"2"},
	} {
		for _, value := range values {
			t.Run(flag+" "+value, func(t *testing.T) {
				cmd := rootCmd()
				cmd.SetArgs([]string{"server", "start-dev", flag + "=" + value})
				require.ErrorContains(t, cmd.Execute(), flag)
			})
		}
	}
}

func TestVersion(t *testing.T) {
	var out strings.Builder
	cmd := rootCmd()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--version"})
	require.NoError(t, cmd.Execute())
	require.Regexp(t, `^devserver version for Temporal 1\.\d+\.\d+ with UI 2\.\d+\.\d+\n$`, out.String())
}
