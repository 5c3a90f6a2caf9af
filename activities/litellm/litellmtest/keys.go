package litellmtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// key is a key as it is stored, and kept in the state file.
type key struct {
	Token, Name string // the hash of its secret; sk-... and four characters
	Alias       *string
	UserID      *string
	TeamID      *string
	Models      []string
	MaxBudget   *float64
	Period      *string
	ResetAt     *time.Time
	Spend       float64
	TotalSpend  float64 // over all periods
	TPM         *int64
	RPM         *int64
	Parallel    *int64
	Metadata    map[string]json.RawMessage
	Blocked     *bool
	Expires     *time.Time
	Order       int64

	CreatedAt, UpdatedAt         time.Time
	SettingsAt, ActiveAt, GoneAt *time.Time
	ArchiveID                    string
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// tokenOf is the stored id of a key that is named by its secret or by its hash.
func tokenOf(name string) string {
	if strings.HasPrefix(name, "sk-") {
		return hash(name)
	}
	return name
}

const allModels = "all-proxy-models"

// mayCallAll reports whether the key is for every model, as one without a list is.
func (k *key) mayCallAll() bool { return len(k.Models) == 0 || slices.Contains(k.Models, allModels) }

func (k *key) mayCall(model string) bool { return covers(k.Models, model) }

// covers reports whether a list of models allows one.
func covers(list []string, model string) bool {
	return len(list) == 0 || slices.Contains(list, allModels) || slices.Contains(list, model)
}

// keyFields are what a key may be given, in the order in which LiteLLM checks them.
var keyFields = []field{
	{"key_alias", text},
	{"duration", text},
	{"models", textList},
	{"spend", number},
	{"max_budget", number},
	{"user_id", text},
	{"team_id", text},
	{"max_parallel_requests", whole},
	{"metadata", dict},
	{"tpm_limit", whole},
	{"rpm_limit", whole},
	{"budget_duration", text},
	{"model_max_budget", dict},
	{"model_rpm_limit", dict},
	{"model_tpm_limit", dict},
	{"blocked", flag},
	{"key", text},
	{"tags", textList},
}

// keyNow finds a key, with its budget reset if its period has ended.
func (p *Proxy) keyNow(token string, now time.Time) *key {
	k := p.keys[token]
	if k != nil && k.Period != nil && k.ResetAt != nil && !now.Before(*k.ResetAt) {
		k.Spend, k.ResetAt = 0, resetAt(*k.Period, now)
	}
	return k
}

func (p *Proxy) generateKey(r *request) answer {
	f, err := readFields(r, keyFields)
	if err != nil {
		return err
	}
	secret := "sk-" + strings.ReplaceAll(rand.Text(), "=", "")
	if given := get[string](f, "key"); given != nil {
		secret = *given
	}
	k := &key{Token: hash(secret), Name: "sk-..." + secret[max(0, len(secret)-4):], CreatedAt: r.now, UpdatedAt: r.now}
	if err := p.checkNewKey(f, secret); err != nil {
		return err
	}
	if err := p.fill(k, f, r.now); err != nil {
		return err
	}
	p.order++
	k.Order = p.order
	if p.keys[k.Token] == nil { // otherwise nothing is changed, and nobody is told
		p.keys[k.Token] = k
		delete(p.deleted, k.Token)
	}
	return jsonAnswer(http.StatusOK, k.echo(secret))
}

// checkNewKey refuses what LiteLLM refuses of a new key.
func (p *Proxy) checkNewKey(f fields, secret string) answer {
	bad := func(message string) answer { return pythonError(http.StatusBadRequest, message, typeInternal, nil) }
	switch {
	case !strings.HasPrefix(secret, "sk-"):
		masked := "****"
		if len(secret) > 8 {
			masked = secret[:4] + "****" + secret[len(secret)-4:]
		}
		return bad("Invalid key format. LiteLLM Virtual Key must start with 'sk-'. Received: " + masked)
	case len(secret) < 16:
		return bad("Invalid key format. LiteLLM Virtual Key must be at least 16 characters long.")
	}
	if err := checkBudget(f, typeInternal, nil); err != nil {
		return err
	}
	if d := get[string](f, "duration"); d != nil {
		if _, ok := expiry(*d, time.Time{}); !ok {
			return proxyError(http.StatusInternalServerError, "Invalid duration format", typeInternal, nil)
		}
	}
	if limits := get[map[string]any](f, "model_max_budget"); limits != nil && len(*limits) > 0 {
		return proxyError(http.StatusInternalServerError, "Invalid model_max_budget: You must have an enterprise license to set model_max_budget. "+
			licence+". Example of valid model_max_budget: https://docs.litellm.ai/docs/proxy/users", typeInternal, nil)
	}
	if f.has("tags") {
		return pythonError(http.StatusForbidden, "This feature is only available for LiteLLM Enterprise users: tags. "+licence, typeInternal, nil)
	}
	return p.checkAlias(f, "")
}

// checkAlias refuses the alias of another key.
func (p *Proxy) checkAlias(f fields, own string) answer {
	alias := get[string](f, "key_alias")
	if alias == nil {
		return nil
	}
	for token, k := range p.keys {
		if token != own && k.Alias != nil && *k.Alias == *alias {
			return proxyError(http.StatusBadRequest, "Key with alias '"+*alias+"' already exists. Unique key aliases across all keys are required.", typeBad, "key_alias")
		}
	}
	return nil
}

// fill puts the fields of a body into k: absent stays, null goes.
func (p *Proxy) fill(k *key, f fields, now time.Time) answer {
	set(f, "key_alias", &k.Alias)
	set(f, "user_id", &k.UserID)
	set(f, "team_id", &k.TeamID)
	set(f, "max_budget", &k.MaxBudget)
	set(f, "tpm_limit", &k.TPM)
	set(f, "rpm_limit", &k.RPM)
	set(f, "max_parallel_requests", &k.Parallel)
	set(f, "blocked", &k.Blocked)
	if m := get[[]string](f, "models"); m != nil {
		k.Models = *m
	}
	if s := get[float64](f, "spend"); s != nil {
		k.Spend = *s
	}
	if _, there := f["budget_duration"]; there {
		set(f, "budget_duration", &k.Period)
		k.ResetAt = nil
		if k.Period != nil {
			k.ResetAt = resetAt(*k.Period, now)
		}
	}
	if _, there := f["duration"]; there {
		k.Expires = nil
		if d := get[string](f, "duration"); d != nil && *d != "-1" {
			end, ok := expiry(*d, now)
			if !ok {
				return proxyError(http.StatusBadRequest, "Authentication Error, Invalid duration format", typeAuth, "None")
			}
			k.Expires = &end
		}
	}
	if m := get[map[string]json.RawMessage](f, "metadata"); m != nil {
		k.Metadata = *m // wholesale
	}
	for _, name := range []string{"model_rpm_limit", "model_tpm_limit"} {
		if f.has(name) {
			k.Metadata = maps.Clone(k.Metadata)
			if k.Metadata == nil {
				k.Metadata = map[string]json.RawMessage{}
			}
			k.Metadata[name] = f[name]
		}
	}
	return nil
}

var keyNotFound = proxyError(http.StatusNotFound, "Key not found.", typeNotFound, "key")

func (p *Proxy) updateKey(r *request) answer {
	f, err := readFields(r, keyFields)
	if err != nil {
		return err
	}
	if !f.has("key") && !f.has("key_alias") {
		return unprocessable(problem("value_error", "Value error, either key or key_alias must be provided", "body"))
	}
	var k *key
	if name := get[string](f, "key"); name != nil {
		k = p.keyNow(tokenOf(*name), r.now)
	} else {
		k = p.keyByAlias(*get[string](f, "key_alias"))
	}
	if k == nil {
		return keyNotFound
	}
	if f.null("metadata") {
		return proxyError(http.StatusBadRequest, "Authentication Error, Null constraint violation on the fields: (`metadata`)", typeAuth, "None")
	}
	if err := checkBudget(f, typeAuth, "None"); err != nil {
		return err
	}
	if err := p.checkAlias(f, k.Token); err != nil {
		return err
	}
	if p.old {
		f.keepLimits()
	}
	changed := *k
	if err := p.fill(&changed, f, r.now); err != nil {
		return err
	}
	changed.UpdatedAt, changed.SettingsAt = r.now, new(r.now)
	p.keys[k.Token] = &changed
	row := changed.info()
	row["key"], row["token"] = *cmpOr(get[string](f, "key"), &changed.Token), changed.Token
	return jsonAnswer(http.StatusOK, row)
}

func (p *Proxy) keyByAlias(alias string) *key {
	for _, k := range p.keys {
		if k.Alias != nil && *k.Alias == alias {
			return k
		}
	}
	return nil
}

func (p *Proxy) blockKey(r *request) answer   { return p.setBlocked(r, true) }
func (p *Proxy) unblockKey(r *request) answer { return p.setBlocked(r, false) }

func (p *Proxy) setBlocked(r *request, blocked bool) answer {
	f, err := readFields(r, keyFields)
	if err != nil {
		return err
	}
	name := get[string](f, "key")
	if name == nil {
		return unprocessable(problem("missing", "Field required", "body", "key"))
	}
	k := p.keyNow(tokenOf(*name), r.now)
	if k == nil {
		return keyNotFound
	}
	changed := *k
	changed.Blocked, changed.UpdatedAt, changed.SettingsAt = &blocked, r.now, new(r.now)
	p.keys[k.Token] = &changed
	return jsonAnswer(http.StatusOK, changed.row())
}

func (p *Proxy) deleteKeys(r *request) answer {
	f, err := readFields(r, []field{{"keys", textList}, {"key_aliases", textList}})
	if err != nil {
		return err
	}
	var named []string
	var tokens []string
	for _, name := range deref(get[[]string](f, "keys")) {
		named, tokens = append(named, name), append(tokens, tokenOf(name))
	}
	for _, alias := range deref(get[[]string](f, "key_aliases")) {
		named = append(named, alias)
		if k := p.keyByAlias(alias); k != nil {
			tokens = append(tokens, k.Token)
		}
	}
	if len(named) == 0 {
		return unprocessable(problem("value_error", "Value error, At least one of 'keys' or 'key_aliases' must be provided.", "body"))
	}
	gone := 0
	for _, token := range tokens {
		if k := p.keys[token]; k != nil {
			archived := *k
			archived.GoneAt, archived.ArchiveID = new(r.now), uuid.NewString()
			p.deleted[token] = &archived
			delete(p.keys, token)
			gone++
		}
	}
	if gone == 0 {
		return pythonError(http.StatusNotFound, "No keys found", typeInternal, nil)
	}
	return jsonAnswer(http.StatusOK, object{"deleted_keys": named}) // also those that were not there
}

func regenerateKey(*request) answer {
	return proxyError(http.StatusInternalServerError, "Regenerating Virtual Keys is an Enterprise feature, "+licence, typeInternal, nil)
}

// Keys returns the hashes of the keys that the proxy has, the oldest first.
func (p *Proxy) Keys() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]string, 0, len(p.keys))
	for _, k := range oldestFirst(p.keys) {
		out = append(out, k.Token)
	}
	return out
}

func oldestFirst(keys map[string]*key) []*key {
	return slices.SortedFunc(maps.Values(keys), func(a, b *key) int { return int(a.Order - b.Order) })
}

func deref[T any](v *T) (zero T) {
	if v == nil {
		return zero
	}
	return *v
}

func cmpOr[T any](v, otherwise *T) *T {
	if v != nil {
		return v
	}
	return otherwise
}
