package main

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/litemaas/litemaas/api"
	"github.com/litemaas/litemaas/api/auth"
	"github.com/litemaas/litemaas/models"
)

// usersConfig is what new users may do at LiteLLM; nil is unlimited.
type usersConfig struct {
	MaxBudget *models.USD `mapstructure:"max_budget"`
	TPM       *int64      `mapstructure:"tpm_limit"`
	RPM       *int64      `mapstructure:"rpm_limit"`
}

type auditConfig struct {
	Retention time.Duration `mapstructure:"retention"` // 0: for ever
}

// completeAuth fills in what follows from other settings.
func (c *config) completeAuth() {
	a := &c.Auth
	if a.Provider == "" && a.ClientID != "" {
		a.Provider = auth.ProviderOpenShift
	}
	if a.FrontendURL == "" {
		if u, err := url.Parse(a.CallbackURL); err == nil {
			a.FrontendURL = u.Scheme + "://" + u.Host
		}
	}
	a.UserLimits = models.Limits{MaxBudget: c.Users.MaxBudget, TPM: c.Users.TPM, RPM: c.Users.RPM}
	a.Development, a.CORSOrigins = c.Environment == "development", c.API.CORSOrigins
}

// people lets people in, as far as that is configured.
func (c config) people(st api.People) (*api.Auth, error) {
	sealer, err := c.Secrets.sealer()
	if err != nil {
		return nil, err
	}
	if c.Auth.Provider != "" {
		if err := needsKeyset(c); err != nil {
			return nil, err
		}
	}
	a, err := api.NewAuth(c.Auth, c.API.AdminKeys, st, sealer)
	return a, inSection("auth", err)
}

// needsPeople is the need of a command that lets people in.
func needsPeople(c config) error {
	_, err := c.people(nil)
	return err
}

// inSection makes an error that blames a field blame the setting in a section.
func inSection(section string, err error) error {
	e, ok := err.(*models.Error) //nolint:errorlint // the outermost is the one that blames
	if !ok || e.Field == "" {
		return err
	}
	key := section + "." + e.Field
	return models.Errorf(e.Kind, "%s: %s", key, e.Message).On(key)
}

var (
	issuer = kind{
		read: func(text string) (any, bool) { // a slash at its end belongs to it
			u, ok := parseHTTP(text)
			return text, ok && u.User == nil && u.RawQuery == "" && u.Fragment == ""
		},
		right: "an address such as https://sso.example.com/realms/main, without a login or a query", show: maskLogin,
	}
	names  = kind{read: readList(func(text string) (string, bool) { return text, true }), right: "names, separated by commas", list: true}
	scopes = kind{
		read: func(text string) (any, bool) {
			out := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
			return out, len(out) > 0
		},
		right: "scopes such as openid profile email", list: true,
	}
	path = kind{
		read:  func(text string) (any, bool) { return text, !strings.Contains(text, "\x00") },
		right: "the path of a file",
	}
	budget = kind{
		read: func(text string) (any, bool) {
			if text == unlimited {
				return nil, true
			}
			v, err := models.ParseUSD(text)
			return v, err == nil && v >= 0
		},
		right: "an amount of dollars such as 99.50, or " + unlimited,
	}
	limit = kind{
		read: func(text string) (any, bool) {
			if text == unlimited {
				return nil, true
			}
			n, err := strconv.ParseInt(text, 10, 64)
			return n, err == nil && n >= 0
		},
		right: "a number, or " + unlimited,
	}
)

// unlimited is the word for no limit.
const unlimited = "unlimited"

// mockEnabled is OAUTH_MOCK_ENABLED's value as a provider.
func mockEnabled(text string) (string, bool) {
	if text == "true" {
		return auth.ProviderMock, true
	}
	return "", text == "false"
}

var days = regexp.MustCompile(`^(\d{1,4}) ?(d|days?)$`)

// expiresIn reads JWT_EXPIRES_IN as LiteMaaS does: 24h, 7d, or a number of seconds.
var expiresIn = &reading{func(text string) (string, bool) {
	if found := days.FindStringSubmatch(text); found != nil {
		n, err := strconv.Atoi(found[1])
		return strconv.Itoa(24*n) + "h", err == nil
	}
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		return text + "s", true
	}
	_, err := time.ParseDuration(text)
	return text, err == nil
}, "a length of time such as 24h or 7d, or a number of seconds"}
