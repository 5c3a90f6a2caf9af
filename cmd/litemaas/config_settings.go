package main

import (
	"slices"
	"strings"
)

// setting is one thing that can be set. Reading, refusing, `litemaas config` and the example
// file are all made from the table of them.
type setting struct {
	key     string
	def     string // as one would write it; empty: none
	kind    kind
	what    string  // for people
	aliases []alias // further names in the environment; the first that is set counts
	flag    string  // a flag of its own; every key can be set with --set
}

// alias is a name in the environment that LiteMaaS operators, or Temporal's, use already.
type alias struct {
	name string
	as   *reading // how its values differ from ours; nil: not at all
}

// reading turns the value of an alias into ours.
type reading struct {
	to    func(string) (text string, ok bool) // an empty text counts as not set
	right string
}

// settings is the table.
var settings = []setting{
	{
		key: "environment", def: "production", kind: oneOf("development", "production"),
		what:    "What the API says it runs as.",
		aliases: []alias{{"NODE_ENV", &reading{nodeEnv, "development, production or test"}}},
	},

	{key: "log.level", def: "info", kind: oneOf("debug", "info", "warn", "error"), what: "The least level that is logged.", flag: "log-level", aliases: []alias{
		{"LOG_LEVEL", &reading{pinoLevel, "trace, debug, info, warn, error, fatal or silent"}},
	}},
	{key: "log.format", def: "text", kind: oneOf("text", "json"), what: "How log lines are written, to standard error.", flag: "log-format"},

	{
		key: "api.listen", def: ":8081", kind: listenAddress, flag: "listen",
		what: "Where the API listens. PORT is a port alone; HOST is heeded if it is an IP address or localhost,\nbecause shells use that name for other things.",
		aliases: []alias{
			{"PORT", &reading{withHost, "a port such as 8081"}},
			{"HOST", &reading{onHost, "an IP address"}},
		},
	},
	{
		key: "api.cors_origins", kind: origins, aliases: []alias{{"CORS_ORIGIN", nil}},
		what: "Web pages of these origins may call the API. One or more: a list, or separated by commas.",
	},
	{
		key: "api.admin_keys", kind: adminKeys, aliases: []alias{{"ADMIN_API_KEYS", nil}},
		what: "Who sends one of these keys is an admin. A list, or separated by commas; each begins with ltm_admin_.\nNew ones: openssl rand -hex 24 | sed s/^/ltm_admin_/",
	},

	{
		key: "api.trusted_proxies", kind: networks,
		what: "Proxies before the API, whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses, or networks\nsuch as 10.0.0.0/8. Without them all that comes through a proxy seems to come from the proxy itself.",
	},
	{
		key: "api.ui_dir", kind: directory, flag: "ui-dir",
		what: "A built web UI that is served beside the API: the directory with its index.html. It is read at the start.",
	},

	{key: "api.reveal_max_age", def: "24h", kind: duration(minute, 365*day), what: "How long ago somebody may have signed in who is shown the secret of an API key."},

	{
		key: "limits.ip", def: "300/1m", kind: rate,
		what: "How many requests in which time an address may send while it does not say who it is. RATE_LIMIT_MAX and\nRATE_LIMIT_TIME_WINDOW are the two parts of it; one without the other is 100, or 1m, as in LiteMaaS.",
		aliases: []alias{
			{"RATE_LIMIT_MAX", &reading{withWindow, "a number of requests"}},
			{"RATE_LIMIT_TIME_WINDOW", &reading{withMax, "a length of time such as 1m, 5 minutes or 60000 (milliseconds)"}},
		},
	},
	{key: "limits.user", def: "1200/1m", kind: rate, what: "The same for a person, wherever he is."},
	{key: "limits.api_key", def: "600/1m", kind: rate, what: "The same for an API key; its requests count for its owner and his teams too."},
	{key: "limits.team", def: "6000/1m", kind: rate, what: "The same for all members of a team together. The default team, which everybody is in, is not counted."},
	{key: "limits.login", def: "60/1m", kind: rate, what: "Sign-ins of an address, beside the above."},
	{key: "limits.reveal", def: "10/5m", kind: rate, what: "Reveals of API keys, for each caller, beside the above."},
	{
		key: "limits.analytics", def: "10/1m", kind: rate, aliases: []alias{{"ADMIN_ANALYTICS_RATE_LIMIT", perMinute}},
		what: "Queries of the analytics, for each caller, beside the above. ADMIN_ANALYTICS_RATE_LIMIT is a number in a minute.",
	},
	{
		key: "limits.export", def: "5/1m", kind: rate, aliases: []alias{{"ADMIN_EXPORT_RATE_LIMIT", perMinute}},
		what: "Exports, for each caller, beside the above. ADMIN_EXPORT_RATE_LIMIT is a number in a minute.",
	},

	{key: "verify.ext_authz", def: "false", kind: boolean, what: "Whether gateways may ask whether a request may be made with an API key, as Envoy's ext_authz does: see deploy/envoy."},
	{key: "verify.prefix", def: "/ext-authz", kind: word, what: "What the paths begin with that they ask at."},
	{key: "verify.secret", kind: secret, what: "What they say in the header x-litemaas-gateway. Where it is not set, verify.gateways must be."},
	{key: "verify.gateways", kind: networks, what: "Where they are: addresses, or networks such as 10.0.0.0/8. If not set: anywhere."},

	{
		key: "redis.url", kind: redisURL,
		what: "A Redis in which the replicas count requests together. If not set, or while it is away, each counts for itself.",
	},
	{
		key: "sessions.store", def: "postgres", kind: oneOf("postgres", "redis"),
		what: "Where sessions are kept. redis needs redis.url, of a Redis that is no cluster and evicts nothing (noeviction); what\nit loses, people sign in again for. Changing this signs everybody out.",
	},

	{
		key: "database.url", kind: databaseURL, aliases: []alias{{"DATABASE_URL", nil}},
		what: "The PostgreSQL database. In its password, write %2F for /, %40 for @, %3F for ?, %23 for #.",
	},
	{key: "database.max_conns", def: "20", kind: number(2, 10_000), what: "Connections that one process opens at most."},

	{
		key: "auth.provider", kind: oneOf("oidc", "openshift", "mock"),
		what:    "Who vouches for people. If not set: openshift, as in LiteMaaS, where auth.client_id is set; else nobody can sign\nin, and there are only admin keys. mock believes everybody: for development.",
		aliases: []alias{{"OAUTH_MOCK_ENABLED", &reading{mockEnabled, "true or false"}}, {"AUTH_PROVIDER", nil}},
	},
	{key: "auth.issuer", kind: issuer, aliases: []alias{{"OAUTH_ISSUER", nil}}, what: "The identity provider, as it calls itself; of OpenShift the OAuth server."},
	{key: "auth.client_id", kind: word, aliases: []alias{{"OAUTH_CLIENT_ID", nil}}, what: "The name that it knows us by."},
	{key: "auth.client_secret", kind: secret, aliases: []alias{{"OAUTH_CLIENT_SECRET", nil}}, what: "And our password there; a public client has none."},
	{
		key: "auth.callback_url", def: "http://localhost:8081/api/auth/callback", kind: httpURL, aliases: []alias{{"OAUTH_CALLBACK_URL", nil}},
		what: "Where browsers come back to from there: our /api/auth/callback, as they see it.",
	},
	{
		key: "auth.frontend_url", kind: httpURL, aliases: []alias{{"FRONTEND_URL", nil}},
		what: "The web UI, where sign-ins end; they may end at api.cors_origins too. If not set: where auth.callback_url is.",
	},
	{key: "auth.scopes", kind: scopes, aliases: []alias{{"OIDC_SCOPES", nil}}, what: "What we ask of it. If not set: openid, profile and email; of OpenShift user:info and user:check-access."},
	{key: "auth.groups_claim", def: "groups", kind: word, aliases: []alias{{"OIDC_GROUPS_CLAIM", nil}}, what: "The claim with a person's groups; a.b is b in a."},
	{key: "auth.openshift_api", kind: httpURL, aliases: []alias{{"OPENSHIFT_API_URL", nil}}, what: "OpenShift's API. If not set, it is derived from auth.issuer."},
	{key: "auth.max_age", def: "0s", kind: duration(0, 365*day), what: "How old a sign-in at the identity provider may be before it has to ask for the password again. 0s: any,\nunless a sign-in asks for less. OpenShift cannot be made to ask."},
	{key: "auth.initial_admins", kind: names, aliases: []alias{{"INITIAL_ADMIN_USERS", nil}}, what: "Users who are admins, by username. A list, or separated by commas."},
	{key: "auth.token_issuer", def: "litemaas", kind: word, what: "Who our access tokens say they are from."},
	{key: "auth.token_lifetime", def: "15m", kind: duration(minute, day), what: "How long an access token is good for a client that refreshes it …"},
	{
		key: "auth.web_lifetime", def: "24h", kind: duration(minute, 30*day), aliases: []alias{{"JWT_EXPIRES_IN", expiresIn}},
		what: "… and for one that does not, as LiteMaaS's web UI. JWT_EXPIRES_IN may be in days, or a number of seconds.",
	},
	{key: "auth.refresh_lifetime", def: "168h", kind: duration(minute, 365*day), what: "How long a refresh token waits to be used."},
	{key: "auth.key_lifetime", def: "720h", kind: duration(hour, 3650*day), what: "How long a key signs tokens, before the next one does."},
	{key: "auth.accept_hs256", def: "false", kind: boolean, what: "Whether tokens that LiteMaaS issued are good here too, while people move."},
	{key: "auth.jwt_secret", kind: secret, aliases: []alias{{"JWT_SECRET", nil}}, what: "The secret that those are signed with."},

	{
		key: "secrets.keyset", kind: keysetText,
		what: "The keys that seal what nobody may read in the database, as `litemaas keyset new` makes them. All replicas have the\nsame. Who loses them signs in anew, and so does everybody else; and no API key can be made again at LiteLLM.",
	},
	{key: "secrets.keyset_file", kind: path, what: "A file with that, where secrets.keyset is not set."},
	{
		key: "secrets.kms_uri", kind: kmsURI, flag: "kms-uri",
		what: "The key of a KMS that the keyset is encrypted by, of HashiCorp Vault or AWS: see `litemaas keyset protect --help`.\nIf not set, the keyset is in clear text. The KMS is needed at the start, and when the keyset is changed.",
	},
	{
		key: "secrets.vault_role", kind: word,
		what: "The role by which a pod signs in to Vault, where VAULT_TOKEN is not set; before it, the path of the auth method\nif that is not kubernetes: openshift/litemaas.",
	},

	{key: "users.max_budget", def: "100", kind: budget, aliases: []alias{{"DEFAULT_USER_MAX_BUDGET", nil}}, what: "What a new user may spend at LiteLLM, in dollars."},
	{key: "users.tpm_limit", def: "100000", kind: limit, aliases: []alias{{"DEFAULT_USER_TPM_LIMIT", nil}}, what: "How many tokens a minute a new user has there."},
	{key: "users.rpm_limit", def: "120", kind: limit, aliases: []alias{{"DEFAULT_USER_RPM_LIMIT", nil}}, what: "And how many requests."},

	{key: "subscriptions.remind_after", def: "72h", kind: duration(minute, 365*day), what: "How long a request for a restricted model waits before approvers are reminded of it …"},
	{key: "subscriptions.lapse_after", def: "720h", kind: duration(minute, 3650*day), what: "… and how long before it lapses."},
	{
		key: "subscriptions.catalogue_max_age", def: "5m", kind: duration(minute, 30*day),
		what: "How old what we know of a model may be when somebody subscribes to it, before LiteLLM is asked again.",
	},

	{key: "keys.owners_reset_spend", def: "false", kind: boolean, what: "Whether users may have what their API keys spent counted from zero: then a budget is none."},

	{
		key: "usage.push_secret", kind: secret,
		what: "What LiteLLM says, in the header x-litemaas-usage, when it tells of calls of models: of at least 16 characters. If not\nset, it cannot, and its log alone is read. GENERIC_LOGGER_ENDPOINT is our /api/v1/usage/events.",
	},
	{
		key: "usage.collect_every", def: "1m", kind: duration(minute/60, hour),
		what: "How often LiteLLM's log of calls is read, for what was not told …",
	},
	{key: "usage.collect_lag", def: "2m", kind: duration(0, hour), what: "… up to how long ago: LiteLLM writes calls down some time after they have ended …"},
	{key: "usage.collect_overlap", def: "15m", kind: duration(0, day), what: "… and how far back it is read again, for calls that took as long."},
	{
		key: "usage.retention", def: "0s", kind: duration(0, 36500*day),
		what: "How long single calls of models are kept at least; it goes by whole days. 0s: for ever. What they come to, each\nday, is kept for ever.",
	},

	{
		key: "budgets.thresholds", def: "50,80,90,100", kind: percents,
		what: "At which parts of a budget that has no thresholds of its own people are told, in percent. At 100 its subject is held,\nlisted or not. A list, or separated by commas.",
	},
	{key: "budgets.raise_needs_approval", def: "false", kind: boolean, what: "Whether an admin's raise of a budget waits until another admin approves it, as everybody else's does."},

	{key: "audit.retention", def: "0s", kind: duration(0, 36500*day), what: "How long the audit log is kept at least; it goes by whole months. 0s: for ever."},

	{key: "litellm.url", def: "http://localhost:4000", kind: httpURL, what: "LiteLLM, as this program reaches it.", aliases: []alias{{"LITELLM_API_URL", nil}}},
	{key: "litellm.public_url", kind: httpURL, what: "LiteLLM, as users and their browsers reach it. If not set: litellm.url."},
	{
		key: "litellm.addresses", kind: httpURLs,
		what: "Every process of LiteLLM that takes calls of models, as this program reaches each: a key is revoked when all of them\nrefuse it, as each has a cache of its own. A list, or separated by commas. If not set: litellm.url alone.",
	},
	{
		key: "litellm.api_key", kind: secret, aliases: []alias{{"LITELLM_API_KEY", nil}, {"LITELLM_MASTER_KEY", nil}},
		what: "LiteLLM's master key, or the key of a proxy admin.",
	},
	{
		key: "litellm.timeout", def: "30s", kind: duration(minute/60, hour), aliases: []alias{{"LITELLM_TIMEOUT", unit("ms", "milliseconds")}},
		what: "How long one call of LiteLLM may take. LITELLM_TIMEOUT is in milliseconds.",
	},
	{key: "litellm.max_conns", def: "32", kind: number(1, 10_000), what: "Connections to LiteLLM that one process opens at most."},

	{key: "temporal.address", def: "localhost:7233", kind: hostPort, what: "The Temporal server.", aliases: []alias{{"TEMPORAL_ADDRESS", nil}}},
	{key: "temporal.namespace", def: "default", kind: word, what: "The namespace there.", aliases: []alias{{"TEMPORAL_NAMESPACE", nil}}},
	{key: "temporal.api_key", kind: secret, what: "The key that the server asks for, if any. It implies TLS.", aliases: []alias{{"TEMPORAL_API_KEY", nil}}},
	{key: "temporal.tls", def: "false", kind: boolean, what: "Whether the server is reached by TLS.", aliases: []alias{{"TEMPORAL_TLS", nil}}},
	{key: "temporal.ui_url", kind: httpURL, what: "Temporal's web UI, for links to a run's page.", aliases: []alias{{"TEMPORAL_UI_URL", nil}}},

	{
		key: "sync.auto", def: "true", kind: boolean, aliases: []alias{{"LITELLM_AUTO_SYNC", nil}},
		what: "Whether to sync by the clock, and at the start. This and the next two are the first value of a setting that\nlives in the database from then on: GET and PUT /api/v1/sync/schedule.",
	},
	{
		key: "sync.interval", def: "60m", kind: duration(minute, 30*day), aliases: []alias{{"LITELLM_SYNC_INTERVAL", unit("m", "minutes")}},
		what: "From one sync to the next. LITELLM_SYNC_INTERVAL is in minutes.",
	},
	{key: "sync.jitter", def: "1m", kind: duration(0, day), what: "A sync by the clock starts up to this much late."},
	{key: "sync.max_removed_percent", def: "20", kind: number(0, 100), what: "More models than this share of the available ones vanish only when a person approves …"},
	{key: "sync.min_removed", def: "3", kind: number(0, 1_000_000), what: "… if they are at least so many."},
	{key: "sync.proposal_ttl", def: "24h", kind: duration(minute, 365*day), what: "How long such a question stays open after the last sync that missed the models."},
	{key: "sync.retention", def: "2160h", kind: duration(hour, 3650*day), what: "How long the reports of syncs are kept."},
	{
		key: "sync.keys.strategy", def: "litemaas_wins", kind: oneOf("litemaas_wins", "litellm_wins", "newest_wins", "manual"),
		what: "Whose word counts when LiteLLM holds other limits or metadata of an API key than we do; with manual, a person decides.\nWhat a key may call, and whether it is blocked, are always ours.",
	},
	{
		key: "sync.keys.orphans", def: "report", kind: oneOf("report", "quarantine"),
		what: "What becomes of keys at LiteLLM that claim to be ours, or are of our users, and that we do not know:\nthey are only reported, or blocked, and deleted later.",
	},
	{key: "sync.keys.orphan_delay", def: "168h", kind: duration(hour, 365*day), what: "How long such a key is blocked before it is deleted."},
}

// env is the setting's own name in the environment.
func (s setting) env() string {
	return "LITEMAAS_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// settingOf returns the setting with that key.
func settingOf(key string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// nearest is the key most like a mistyped one, or "" when none is much like it.
func nearest(key string) string {
	return likest(key, func(s setting) []string {
		_, leaf, _ := strings.Cut(s.key, ".") // written without its section
		return []string{s.key, leaf}
	}).key
}

// nearestEnv is the name in the environment most like a mistyped one, or "".
func nearestEnv(name string) string {
	s := likest(name, func(s setting) []string { return []string{s.env()} })
	if s.key == "" {
		return ""
	}
	return s.env()
}

// likest is the setting one of whose names is most like text.
func likest(text string, names func(setting) []string) (best setting) {
	least := len(text)/3 + 1
	for _, s := range settings {
		for _, name := range names(s) {
			if d := distance(text, name); d < least {
				best, least = s, d
			}
		}
	}
	return best
}

// distance counts the letters to insert, drop or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
