package main

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/litemaas/litemaas/activities/litellm"
	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/temporal"
)

// config is everything that can be set. Each key has a line in the table of settings, which
// says its default, its names and what it is.
type config struct {
	Environment string           `mapstructure:"environment"` // development or production
	Log         logConfig        `mapstructure:"log"`
	API         api.Config       `mapstructure:"api"`
	Database    store.Config     `mapstructure:"database"`
	LiteLLM     litellmConfig    `mapstructure:"litellm"`
	Temporal    temporal.Config  `mapstructure:"temporal"`
	Sync        syncConfig       `mapstructure:"sync"`
	Redis       redisConfig      `mapstructure:"redis"`
	Sessions    sessionsConfig   `mapstructure:"sessions"`
	Limits      api.Limits       `mapstructure:"limits"`
	Auth        auth.Config      `mapstructure:"auth"`
	Secrets     secretsConfig    `mapstructure:"secrets"`
	Users       usersConfig      `mapstructure:"users"`
	Audit       auditConfig      `mapstructure:"audit"`
	Verify      api.VerifyConfig `mapstructure:"verify"`

	Subscriptions subscriptionsConfig `mapstructure:"subscriptions"`
	Keys          keysConfig          `mapstructure:"keys"`
	Usage         usageConfig         `mapstructure:"usage"`
	Budgets       budgetsConfig       `mapstructure:"budgets"`

	values map[string]value // by key: what was read, and where
}

type logConfig struct {
	Level  string `mapstructure:"level"`
	Format string `mapstructure:"format"` // text or json
}

type litellmConfig struct {
	URL       string        `mapstructure:"url"`
	PublicURL string        `mapstructure:"public_url"`
	Addresses []string      `mapstructure:"addresses"`
	APIKey    models.Secret `mapstructure:"api_key"`
	Timeout   time.Duration `mapstructure:"timeout"`
	MaxConns  int           `mapstructure:"max_conns"`
}

// client is the part that the client needs.
func (c litellmConfig) client() litellm.Config {
	return litellm.Config{URL: c.URL, APIKey: c.APIKey, Timeout: c.Timeout, MaxConns: c.MaxConns}
}

// public is LiteLLM's address as users and their browsers reach it.
func (c litellmConfig) public() string { return cmp.Or(c.PublicURL, c.URL) }

type syncConfig struct {
	Auto              bool          `mapstructure:"auto"`
	Interval          time.Duration `mapstructure:"interval"`
	Jitter            time.Duration `mapstructure:"jitter"`
	MaxRemovedPercent int           `mapstructure:"max_removed_percent"`
	MinRemoved        int           `mapstructure:"min_removed"`
	ProposalTTL       time.Duration `mapstructure:"proposal_ttl"`
	Retention         time.Duration `mapstructure:"retention"`

	Keys syncKeysConfig `mapstructure:"keys"`
}

type syncKeysConfig struct {
	Strategy    string        `mapstructure:"strategy"`
	Orphans     string        `mapstructure:"orphans"`
	OrphanDelay time.Duration `mapstructure:"orphan_delay"`
}

// rules is what syncs do about API keys.
func (c syncKeysConfig) rules() models.KeySync {
	return models.KeySync{Strategy: models.KeyStrategy(c.Strategy), Orphans: models.OrphanPolicy(c.Orphans), OrphanDelay: c.OrphanDelay}
}

func (c syncConfig) guard() models.Guard {
	return models.Guard{MaxRemovedPercent: c.MaxRemovedPercent, MinRemoved: c.MinRemoved}
}

// schedule is the schedule that the database is given when it has none.
func (c syncConfig) schedule() models.SyncSchedule {
	s := models.SyncSchedule{Interval: c.Interval, Jitter: c.Jitter}
	if !c.Auto {
		s.Paused, s.Note = true, "sync.auto is false in the configuration"
	}
	return s
}

type subscriptionsConfig struct {
	RemindAfter     time.Duration `mapstructure:"remind_after"`
	LapseAfter      time.Duration `mapstructure:"lapse_after"`
	CatalogueMaxAge time.Duration `mapstructure:"catalogue_max_age"`
}

type keysConfig struct {
	OwnersResetSpend bool `mapstructure:"owners_reset_spend"`
}

// configured reports whether the file, the environment or a flag sets the key.
func (c config) configured(key string) bool { return c.values[key].origin != originDefault }

// need is something that a command cannot do without.
type need func(config) error

// needsDatabase is the need of a command that works on the database.
func needsDatabase(c config) error {
	if c.Database.URL.IsZero() {
		return models.Errorf(models.Invalid, "database.url is not set: put it into litemaas.yaml or DATABASE_URL, or try `litemaas dev`, which brings a database along").On("database.url")
	}
	return nil
}

// needsUI is the need of a command that serves the web UI, where one is set.
func needsUI(c config) error {
	_, err := c.ui()
	return err
}

// ui is the web UI to serve; nil when none is set.
func (c config) ui() (*api.UI, error) {
	if c.API.UIDir == "" {
		return nil, nil
	}
	return api.OpenUI(c.API.UIDir)
}

// load reads the file, the environment and the flags, each over the one before, and makes
// logging follow what they say. Whatever is wrong is named with its key, where it came from,
// and what would be right; the error is Invalid, on a key.
func load(cmd *cobra.Command, needs ...need) (config, error) {
	cfg, err := readConfig(cmd)
	if err != nil {
		return cfg, err
	}
	slog.SetDefault(newLogger(cmd.ErrOrStderr(), cfg.Log))
	for _, need := range needs {
		if err := need(cfg); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// readConfig is load without the needs and without logging.
func readConfig(cmd *cobra.Command) (config, error) {
	var cfg config
	values, err := readValues(cmd)
	if err != nil {
		return cfg, err
	}
	v := viper.New()
	for key, value := range values {
		if value.is != nil {
			v.Set(key, value.is)
		}
	}
	if err := v.UnmarshalExact(&cfg); err != nil {
		return cfg, models.Wrap(models.Internal, err, "the table of settings does not fit its struct")
	}
	cfg.values, cfg.Secrets.opened = values, &openedKeyset{}
	return cfg, cfg.check()
}

// check judges what no setting can be judged by alone.
func (c *config) check() error {
	if !c.configured("sync.jitter") {
		c.Sync.Jitter = min(c.Sync.Jitter, c.Sync.Interval/2)
	}
	if c.Sync.Jitter >= c.Sync.Interval {
		return models.Errorf(models.Invalid, "sync.jitter is %s (%s): it must be less than sync.interval, %s",
			c.Sync.Jitter, c.values["sync.jitter"].origin, c.Sync.Interval).On("sync.jitter")
	}
	c.completeAuth()
	if err := c.checkSessions(); err != nil {
		return err
	}
	if err := inSection("usage", c.Usage.Check()); err != nil {
		return err
	}
	return inSection("verify", c.Verify.Check())
}
