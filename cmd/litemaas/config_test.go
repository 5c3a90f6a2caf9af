package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/litemaas/litemaas/models"
)

// clean is a world in which nothing is configured: an empty directory, no names of ours in the
// environment.
func clean(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	unset := []string{"LITEMAAS_CONFIG", adminKeyEnv}
	for _, s := range settings {
		unset = append(unset, s.env())
		for _, a := range s.aliases {
			unset = append(unset, a.name)
		}
	}
	for _, name := range unset {
		t.Setenv(name, "")
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
}

// read is what the command `config` reads when it is called with args.
func read(t *testing.T, args ...string) (config, error) {
	t.Helper()
	cmd, rest, err := rootCmd().Find(append([]string{"config"}, args...))
	require.NoError(t, err)
	require.NoError(t, cmd.ParseFlags(rest))
	return readConfig(cmd)
}

// cli runs the program and returns its exit status, standard output and standard error.
func cli(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e shared
	status = run(context.WithoutCancel(t.Context()), args, &o, &e)
	return status, o.String(), e.String()
}

// Without any configuration there is one that works with servers on this machine.
func TestDefaults(t *testing.T) {
	clean(t)
	c, err := read(t)
	require.NoError(t, err)
	require.Equal(t, "production", c.Environment)
	require.Equal(t, logConfig{Level: "info", Format: "text"}, c.Log)
	require.Equal(t, ":8081", c.API.Listen)
	require.Empty(t, c.API.AdminKeys)
	require.True(t, c.Database.URL.IsZero())
	require.EqualValues(t, 20, c.Database.MaxConns)
	require.Equal(t, "http://localhost:4000", c.LiteLLM.public())
	require.Equal(t, 30*time.Second, c.LiteLLM.client().Timeout)
	require.Equal(t, "localhost:7233", c.Temporal.Address)
	require.Equal(t, models.SyncSchedule{Interval: time.Hour, Jitter: time.Minute}, c.Sync.schedule())
	require.Equal(t, models.Guard{MaxRemovedPercent: 20, MinRemoved: 3}, c.Sync.guard())
	require.Equal(t, 90*24*time.Hour, c.Sync.Retention)
	require.Empty(t, c.Auth.Provider, "nobody can sign in")
	require.Equal(t, "http://localhost:8081", c.Auth.FrontendURL)
	require.Equal(t, 24*time.Hour, c.Auth.WebLifetime)
	require.Equal(t, models.Limits{MaxBudget: new(100 * models.Dollar), TPM: new(int64(100_000)), RPM: new(int64(120))}, c.Auth.UserLimits)
	require.Zero(t, c.Audit.Retention+c.Usage.Retention)
	for _, s := range settings {
		require.False(t, c.configured(s.key), s.key)
	}
}

// Every default is a good value, every key has a field, and no two have a name in common.
func TestTableOfSettings(t *testing.T) {
	names := map[string]string{}
	for _, s := range settings {
		if s.def != "" {
			_, ok := s.kind.read(s.def)
			require.True(t, ok, "%s: %s", s.key, s.def)
		}
		require.NotEmpty(t, s.what, s.key)
		for _, name := range append([]string{s.env()}, aliasNames(s)...) {
			require.Empty(t, names[name], name)
			names[name] = s.key
		}
	}
}

func aliasNames(s setting) (names []string) {
	for _, a := range s.aliases {
		names = append(names, a.name)
	}
	return names
}

// aliased is a name of LiteMaaS's with a value, and what becomes of it.
type aliased struct {
	name, value string
	want        any
	got         func(config) any
}

func (a aliased) test(t *testing.T) {
	clean(t)
	t.Setenv(a.name, a.value)
	c, err := read(t)
	require.NoError(t, err)
	require.Equal(t, a.want, a.got(c))
}

// The names that LiteMaaS operators have in their environment today work.
func TestAliases(t *testing.T) {
	for _, tc := range []aliased{
		{"NODE_ENV", "development", "development", func(c config) any { return c.Environment }},
		{"NODE_ENV", "test", "development", func(c config) any { return c.Environment }},
		{"LOG_LEVEL", "warn", "warn", func(c config) any { return c.Log.Level }},
		{"LOG_LEVEL", "TRACE", "debug", func(c config) any { return c.Log.Level }},
		{"LOG_LEVEL", "fatal", "error", func(c config) any { return c.Log.Level }},
		{"LOG_LEVEL", "silent", "error", func(c config) any { return c.Log.Level }},
		{"PORT", "9000", ":9000", func(c config) any { return c.API.Listen }},
		{"HOST", "127.0.0.1", "127.0.0.1:8081", func(c config) any { return c.API.Listen }},
		{"HOST", "x86_64-conda-linux-gnu", ":8081", func(c config) any { return c.API.Listen }},
		{"LITEMAAS_LITELLM_ADDRESSES", "http://litellm-0:4000/, http://litellm-1:4000", []string{"http://litellm-0:4000", "http://litellm-1:4000"}, func(c config) any { return c.LiteLLM.Addresses }},
		{"CORS_ORIGIN", "http://localhost:3000, https://a.example/", []string{"http://localhost:3000", "https://a.example"}, func(c config) any { return c.API.CORSOrigins }},
		{"ADMIN_API_KEYS", "ltm_admin_a,ltm_admin_b", []models.Secret{models.SecretOf("ltm_admin_a"), models.SecretOf("ltm_admin_b")}, func(c config) any { return c.API.AdminKeys }},
		{"DATABASE_URL", "postgresql://u:p@h/d", "postgresql://u:p@h/d", func(c config) any { return c.Database.URL.Reveal() }},
		{"LITELLM_API_URL", "https://llm.example/base/", "https://llm.example/base", func(c config) any { return c.LiteLLM.URL }},
		{"LITELLM_API_KEY", "sk-1", "sk-1", func(c config) any { return c.LiteLLM.APIKey.Reveal() }},
		{"LITELLM_MASTER_KEY", "sk-2", "sk-2", func(c config) any { return c.LiteLLM.APIKey.Reveal() }},
		{"LITELLM_TIMEOUT", "45000", 45 * time.Second, func(c config) any { return c.LiteLLM.Timeout }},
		{"LITELLM_AUTO_SYNC", "false", false, func(c config) any { return c.Sync.Auto }},
		{"LITELLM_SYNC_INTERVAL", "15", 15 * time.Minute, func(c config) any { return c.Sync.Interval }},
		{"TEMPORAL_ADDRESS", "t.example:7233", "t.example:7233", func(c config) any { return c.Temporal.Address }},
		{"TEMPORAL_NAMESPACE", "maas", "maas", func(c config) any { return c.Temporal.Namespace }},
		{"TEMPORAL_API_KEY", "key", "key", func(c config) any { return c.Temporal.APIKey.Reveal() }},
		{"TEMPORAL_TLS", "true", true, func(c config) any { return c.Temporal.TLS }},
		{"TEMPORAL_UI_URL", "https://ui.example", "https://ui.example", func(c config) any { return c.Temporal.UIURL }},
	} {
		t.Run(tc.name+"="+tc.value, tc.test)
	}
	t.Run("PORT and HOST together", func(t *testing.T) {
		clean(t)
		t.Setenv("HOST", "::1")
		t.Setenv("PORT", "9000")
		c, err := read(t)
		require.NoError(t, err)
		require.Equal(t, "[::1]:9000", c.API.Listen)
	})
}

// Every key can be set by its own name in the environment, and by --set.
func TestEveryKeyByItsName(t *testing.T) {
	for _, s := range settings {
		t.Run(s.key, func(t *testing.T) {
			clean(t)
			good := map[string]string{
				"api.cors_origins": "http://a.example", "api.admin_keys": "ltm_admin_x", "database.url": "postgres://h/d",
				"litellm.public_url": "http://a.example", "litellm.addresses": "http://a.example", "litellm.api_key": "sk-x", "temporal.api_key": "x", "temporal.ui_url": "http://a.example",
				"api.trusted_proxies": "10.0.0.0/8, ::1", "api.ui_dir": "dist", "redis.url": "redis://h", "secrets.kms_uri": "hcvault://h/transit/keys/k", "secrets.vault_role": "x",
				"auth.provider": "oidc", "auth.issuer": "http://a.example/", "auth.client_id": "x", "auth.client_secret": "x", "auth.frontend_url": "http://a.example",
				"auth.scopes": "openid, email", "auth.openshift_api": "http://a.example", "auth.initial_admins": "ada, bob", "auth.jwt_secret": "x",
				"secrets.keyset": newKeyset(t), "secrets.keyset_file": "keyset.json", "verify.secret": "a-secret-of-gateways", "verify.gateways": "10.0.0.0/8",
				"usage.push_secret": "a-secret-of-litellm",
			}[s.key]
			if good == "" {
				good = s.def
			}
			t.Setenv(s.env(), good)
			c, err := read(t)
			require.NoError(t, err)
			require.True(t, c.configured(s.key))
			require.Equal(t, "environment "+s.env(), c.values[s.key].origin)
			c, err = read(t, "--set", s.key+"="+good)
			require.NoError(t, err)
			require.Equal(t, "flag --set", c.values[s.key].origin)
		})
	}
}

// The file counts more than the default, the environment more than the file, a flag more than
// the environment, and an own name more than an alias.
func TestPrecedence(t *testing.T) {
	clean(t)
	origin := func(args ...string) string {
		c, err := read(t, args...)
		require.NoError(t, err)
		return c.values["log.level"].text + ", " + c.values["log.level"].origin
	}
	require.Equal(t, "info, default", origin())
	writeFile(t, "litemaas.yaml", "log:\n  level: debug\n")
	require.Equal(t, "debug, litemaas.yaml", origin())
	t.Setenv("LOG_LEVEL", "error")
	require.Equal(t, "error, environment LOG_LEVEL", origin())
	t.Setenv("LITEMAAS_LOG_LEVEL", "warn")
	require.Equal(t, "warn, environment LITEMAAS_LOG_LEVEL", origin())
	require.Equal(t, "debug, flag --set", origin("--set", "log.level=debug"))
	require.Equal(t, "info, flag --log-level", origin("--log-level", "info", "--set", "log.level=debug"))
}

// Lists, numbers and sections without a value are read from a file, whatever its name.
func TestFile(t *testing.T) {
	clean(t)
	writeFile(t, "other.conf", `
environment:
api:
  cors_origins: [http://a.example, http://b.example]
  reveal_max_age: 5m
  admin_keys:
    - ltm_admin_1
    - ltm_admin_2
database:
temporal: {tls: true}
sync:
  max_removed_percent: 5
`)
	t.Setenv("LITEMAAS_CONFIG", "other.conf")
	c, err := read(t)
	require.NoError(t, err)
	require.Equal(t, []string{"http://a.example", "http://b.example"}, c.API.CORSOrigins)
	require.Equal(t, 5*time.Minute, c.API.RevealMaxAge)
	require.Len(t, c.API.AdminKeys, 2)
	require.True(t, c.Temporal.TLS)
	require.Equal(t, 5, c.Sync.MaxRemovedPercent)
	require.False(t, c.configured("environment"))
}

// What is wrong is named: the key, where it came from, and what would be right.
func TestWrongConfiguration(t *testing.T) {
	for name, tc := range map[string]struct {
		file, env string
		args      []string
		want      string
	}{
		"a mistyped key":            {file: "litelm:\n  url: http://x\n", want: "litelm.url (litemaas.yaml) is no setting: did you mean litellm.url?"},
		"a key without section":     {file: "listen: :80\n", want: "listen (litemaas.yaml) is no setting: did you mean api.listen?"},
		"a key like no other":       {file: "frobnicate: 1\n", want: "frobnicate (litemaas.yaml) is no setting: `litemaas config --example` lists every setting"},
		"a value below a value":     {file: "api:\n  listen:\n    port: 1\n", want: "api.listen.port (litemaas.yaml) is no setting: did you mean api.listen?"},
		"a value for a section":     {file: "sync: true\n", want: "sync (litemaas.yaml) is no setting: it is a section"},
		"a mistyped --set":          {args: []string{"--set", "log.levle=x"}, want: "log.levle (flag --set) is no setting: did you mean log.level?"},
		"--set without a value":     {args: []string{"--set", "log.level"}, want: "--set wants key=value"},
		"a duration without unit":   {file: "litellm:\n  timeout: 30\n", want: `litellm.timeout is "30" (litemaas.yaml): it must be a length of time with its unit, such as 90s, 30m or 2h, from 1s to 1h`},
		"a share above 100":         {args: []string{"--set", "sync.max_removed_percent=101"}, want: `it must be a number from 0 to 100`},
		"minutes that are none":     {env: "LITELLM_SYNC_INTERVAL=1h", want: `sync.interval is "1h" (environment LITELLM_SYNC_INTERVAL): it must be a number of minutes`},
		"no minutes":                {env: "LITELLM_SYNC_INTERVAL=0", want: `sync.interval is "0m" (environment LITELLM_SYNC_INTERVAL): it must be a length of time`},
		"a port that is none":       {env: "PORT=http", want: `api.listen is "http" (environment PORT): it must be a port such as 8081`},
		"neither true nor false":    {env: "LITELLM_AUTO_SYNC=1", want: `sync.auto is "1" (environment LITELLM_AUTO_SYNC): it must be true or false`},
		"an unknown level":          {env: "LOG_LEVEL=loud", want: `log.level is "loud" (environment LOG_LEVEL): it must be trace, debug, info, warn, error, fatal or silent`},
		"a bad flag":                {args: []string{"--log-level", "loud"}, want: `log.level is "loud" (flag --log-level): it must be debug, info, warn or error`},
		"an address without http":   {env: "LITELLM_API_URL=localhost:4000", want: "it must be an address such as http://localhost:4000"},
		"a jitter like a schedule":  {args: []string{"--set", "sync.jitter=1h"}, want: "sync.jitter is 1h0m0s (flag --set): it must be less than sync.interval, 1h0m0s"},
		"an admin key of no admin":  {env: "ADMIN_API_KEYS=ltm_admin_x,sk-1", want: "api.admin_keys is not good (environment ADMIN_API_KEYS): it must be keys that begin with ltm_admin_"},
		"a file that is not there":  {args: []string{"--config", "none.yaml"}, want: "the configuration file none.yaml cannot be read: no such file or directory"},
		"a file that is no YAML":    {file: "a: b: c\n", want: "the configuration file litemaas.yaml cannot be read: "},
		"a key that is there twice": {file: "log:\n  level: info\n  level: warn\n", want: "the configuration file litemaas.yaml cannot be read: "},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			if tc.file != "" {
				writeFile(t, "litemaas.yaml", tc.file)
			}
			if key, value, ok := strings.Cut(tc.env, "="); ok {
				t.Setenv(key, value)
			}
			status, _, errs := cli(t, append([]string{"config"}, tc.args...)...)
			require.Equal(t, exitUsage, status)
			require.Contains(t, errs, tc.want)
		})
	}
	t.Run("several things at once", func(t *testing.T) {
		clean(t)
		writeFile(t, "litemaas.yaml", "lgo: 1\ntemporal:\n  address: nowhere\n")
		_, _, errs := cli(t, "config")
		require.Contains(t, errs, "2 settings are wrong:\n  lgo (")
		require.Contains(t, errs, `  temporal.address is "nowhere"`)
	})
	t.Run("a command that needs a database", func(t *testing.T) {
		clean(t)
		status, _, errs := cli(t, "serve")
		require.Equal(t, exitUsage, status)
		require.Contains(t, errs, "database.url is not set: put it into litemaas.yaml or DATABASE_URL, or try `litemaas dev`")
	})
}

// A short interval makes the default jitter short, too.
func TestShortInterval(t *testing.T) {
	clean(t)
	t.Setenv("LITELLM_SYNC_INTERVAL", "1")
	t.Setenv("LITELLM_AUTO_SYNC", "false")
	c, err := read(t)
	require.NoError(t, err)
	s := c.Sync.schedule()
	require.Equal(t, 30*time.Second, s.Jitter)
	require.True(t, s.Paused)
	require.NotEmpty(t, s.Note)
	require.NoError(t, s.Check())
}

// No secret is ever printed: neither by `litemaas config`, nor when it is wrong, nor when what
// it opens does not answer.
func TestSecretsStaySecret(t *testing.T) {
	const hush = "hush-hush"
	for name, args := range map[string][]string{
		"good ones": {
			"config", "--set", "database.url=postgres://ada:" + hush + "@db.example:5432/maas?sslmode=disable&sslpassword=" + hush, "--set", "litellm.api_key=sk-" + hush,
			"--set", "api.admin_keys=ltm_admin_" + hush + ",ltm_admin_2" + hush, "--set", "temporal.api_key=" + hush,
		},
		"words":                {"config", "--set", "database.url=host=h user=u password=" + hush},
		"no port":              {"config", "--set", "database.url=postgres://ada:" + hush + "@h:port/d"},
		"a bad escape":         {"config", "--set", "database.url=postgres://ada:%zz" + hush + "@h/d"},
		"a slash":              {"config", "--set", "database.url=postgres://ada:/" + hush + "@h/d"},
		"a question mark":      {"config", "--set", "database.url=postgres://ada:12?" + hush + "@h/d"},
		"a hash":               {"config", "--set", "database.url=postgres://ada:12#" + hush + "@h/d"},
		"no address":           {"config", "--set", "database.url=" + hush},
		"a login":              {"config", "--set", "litellm.url=http://ada:" + hush + "@h:4000"},
		"a login with a slash": {"config", "--set", "litellm.url=http://ada:/" + hush + "@h:4000"},
		"those of sign-ins": {
			"config", "--set", "auth.client_secret=" + hush, "--set", "auth.jwt_secret=" + hush, "--set", "secrets.keyset=" + newKeyset(t),
		},
		"no keyset":              {"config", "--set", "secrets.keyset=" + hush},
		"an issuer with a login": {"config", "--set", "auth.issuer=https://ada:" + hush + "@sso.example"},
		"a key with spaces":      {"config", "--set", "litellm.api_key=sk " + hush},
		"no admin key":           {"config", "--set", "api.admin_keys=" + hush},
		"a database that is off": {"migrate", "--set", "database.url=postgres://ada:" + hush + "@127.0.0.1:1/d"},
		"a Redis":                {"config", "--set", "redis.url=rediss://ada:" + hush + "@h:6379/0"},
		"no Redis":               {"config", "--set", "redis.url=http://ada:" + hush + "@h"},
		"a Redis with a slash":   {"config", "--set", "redis.url=redis://:/" + hush + "@h:6379"},
		"the same in words":      {"migrate", "--set", "database.url=host=127.0.0.1 port=1 user=ada password=" + hush},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			_, out, errs := cli(t, args...)
			require.NotEmpty(t, out+errs)
			require.NotContains(t, out+errs, hush)
		})
	}
	t.Run("in a broken file", func(t *testing.T) {
		for _, text := range []string{hush, "- " + hush, "a: " + hush + ": b", "a: \"" + hush, "a: [" + hush, "\t" + hush, hush + ": 1\n" + hush + ": 2"} {
			clean(t)
			writeFile(t, "litemaas.yaml", text)
			status, out, errs := cli(t, "config")
			require.Equal(t, exitUsage, status)
			if !strings.HasPrefix(text, hush+":") { // a key is no secret
				require.NotContains(t, out+errs, hush, text)
			}
		}
	})
}

// `litemaas config` says what counts and where it came from.
func TestConfigCommand(t *testing.T) {
	clean(t)
	writeFile(t, "litemaas.yaml", "database:\n  url: postgres://ada:hush@db.example:5432/maas\n")
	t.Setenv("LITELLM_SYNC_INTERVAL", "15")
	t.Setenv("LITEMAAS_LITELM_URL", "x")
	t.Setenv("LITEMAAS_SERVICE_HOST", "10.0.0.1")
	status, out, _ := cli(t, "config", "--set", "api.admin_keys=ltm_admin_1,ltm_admin_2")
	require.Zero(t, status)
	words := strings.Join(strings.Fields(out), " ")
	require.Contains(t, words, "database.url: postgres://ada:***@db.example:5432/maas # litemaas.yaml")
	require.Contains(t, words, "sync.interval: 15m # environment LITELLM_SYNC_INTERVAL")
	require.Contains(t, words, "api.admin_keys: ***, *** # flag --set")
	require.Contains(t, words, "litellm.public_url: - # default")
	require.Contains(t, words, "# LITEMAAS_LITELM_URL is no setting: did you mean LITEMAAS_LITELLM_URL?")
	require.NotContains(t, words, "LITEMAAS_SERVICE_HOST")
}

// The example names every setting, can be read, and sets nothing but the defaults.
func TestExampleFile(t *testing.T) {
	clean(t)
	status, out, _ := cli(t, "config", "--example")
	require.Zero(t, status)
	writeFile(t, filepath.Join(".", "litemaas.yaml"), out)
	got, err := read(t)
	require.NoError(t, err)
	want, err := read(t, "--config", os.DevNull)
	require.NoError(t, err)
	for _, s := range settings {
		require.Contains(t, out, s.env())
		require.Equal(t, want.values[s.key].text, got.values[s.key].text, s.key)
		require.Equal(t, s.def != "", got.configured(s.key), s.key)
	}
}
