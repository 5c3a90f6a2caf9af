package litellm

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/litemaas/litemaas/models"
)

// KeyLimits is what a key may do, whole: a nil or empty field means that there is no such
// limit, not that the old one stays.
type KeyLimits struct {
	Models              []string    // at least one: to LiteLLM an empty list means every model
	MaxBudget           *models.USD // for each budget period; nil: unlimited
	BudgetDuration      string      // such as 30d: on LiteLLM's calendar, so 30d ends with the month; empty: never reset
	TPM, RPM            *int64      // tokens and requests a minute; nil: unlimited
	MaxParallelRequests *int64
	ModelTPM, ModelRPM  map[string]int64 // the same for single models
	ExpiresAt           *time.Time       // nil: never

	Alias    string         // unique over all of LiteLLM's keys; empty: none
	Metadata map[string]any // replaces all there is
}

// NewKey is a key to be made. Its owner is for life.
type NewKey struct {
	KeyLimits
	Secret         models.Secret // of our choice: sk- and at least 13 characters more
	UserID, TeamID string        // LiteLLM does not check that they exist
	Blocked        bool
	Spend          models.USD // carried over from the key that this one replaces
}

// GenerateKey makes a key. Its success proves the key only if LiteLLM cannot have had it
// before: repeated with other limits, it is answered as if they were now in force and changes
// nothing; repeated with an alias, it is a Conflict, whether the alias is on this key or on
// another. So look afterwards with Key.
func (c *Client) GenerateKey(ctx context.Context, k NewKey) error {
	body, err := k.body(time.Now())
	if err != nil {
		return err
	}
	for key, value := range body { // null is for updates
		if value == nil {
			delete(body, key)
		}
	}
	body["key"] = k.Secret.Reveal()
	put(body, "user_id", k.UserID)
	put(body, "team_id", k.TeamID)
	put(body, "blocked", k.Blocked)
	put(body, "spend", k.Spend)
	return c.do(ctx, call{method: http.MethodPost, path: "/key/generate", body: body, hide: []models.Secret{k.Secret}}, nil)
}

// UpdateKey gives a key other limits, all at once, and leaves its owner, its spend and whether
// it is blocked. It may be repeated. NotFound means that LiteLLM does not have the key;
// Conflict, that another key has the alias.
//
// LiteLLM takes an expiry only as seconds from now, so what it holds differs from ExpiresAt by
// the time of the call. The end of the budget period is worked out anew by each call, on
// LiteLLM's calendar; what was spent in it stays.
func (c *Client) UpdateKey(ctx context.Context, hash string, l KeyLimits) error {
	body, err := l.body(time.Now())
	if err != nil {
		return err
	}
	return c.postKey(ctx, "/key/update", hash, body)
}

// BlockKey makes LiteLLM refuse a key. It may be repeated; NotFound means that LiteLLM does
// not have it. Other replicas of LiteLLM may take the key until their caches expire (60 s).
func (c *Client) BlockKey(ctx context.Context, hash string) error {
	return c.postKey(ctx, "/key/block", hash, map[string]any{})
}

// UnblockKey ends a BlockKey. It may be repeated; NotFound means that LiteLLM does not have
// the key.
func (c *Client) UnblockKey(ctx context.Context, hash string) error {
	return c.postKey(ctx, "/key/unblock", hash, map[string]any{})
}

// ResetKeySpend makes LiteLLM count what a key spends in its budget period from zero. It may be
// repeated; NotFound means that LiteLLM does not have the key.
func (c *Client) ResetKeySpend(ctx context.Context, hash string) error {
	return c.postKey(ctx, "/key/update", hash, map[string]any{"spend": 0})
}

// DeleteKey removes a key for good. NotFound means that it was gone. Other replicas of LiteLLM
// may take the key until their caches expire (60 s).
func (c *Client) DeleteKey(ctx context.Context, hash string) error {
	if err := checkHash(hash); err != nil {
		return err
	}
	// One at a time: a list of which only some exist is answered as if all had been deleted.
	return c.do(ctx, call{method: http.MethodPost, path: "/key/delete", body: map[string]any{"keys": []string{hash}}}, nil)
}

// Key reads a key as LiteLLM holds it. NotFound means that it does not: a deleted key counts as
// absent, but what LiteLLM still says of it, such as its last spend, is returned beside the error.
func (c *Client) Key(ctx context.Context, hash string) (models.ProxyKey, error) {
	if err := checkHash(hash); err != nil { // a secret must not become part of an address
		return models.ProxyKey{}, err
	}
	var out struct{ Info keyAnswer }
	err := c.do(ctx, call{method: http.MethodGet, path: "/key/info", query: url.Values{"key": {hash}}}, &out)
	switch {
	case err != nil:
		return models.ProxyKey{}, err
	case out.Info.Status == "deleted":
		return out.Info.key(hash), models.Errorf(models.NotFound, "LiteLLM has deleted the key")
	case out.Info.KeyName == "":
		return models.ProxyKey{}, models.Errorf(models.Unavailable, "LiteLLM's answer does not describe a key")
	}
	return out.Info.key(hash), nil
}

// KeyFilter narrows a list of keys. What is empty does not.
type KeyFilter struct{ UserID, TeamID, Alias string }

// KeyPage is one page of LiteLLM's keys.
type KeyPage struct {
	Keys       []models.ProxyKey
	Page       int // from 1
	TotalPages int
	TotalCount int
}

// Keys reads one page of LiteLLM's keys, the oldest first, so that new ones only lengthen the
// last page; a key that is deleted meanwhile moves those after it up. The size is 1 to 100. A
// page past the end is empty.
func (c *Client) Keys(ctx context.Context, f KeyFilter, page, size int) (KeyPage, error) {
	query := url.Values{
		"page": {strconv.Itoa(page)}, "size": {strconv.Itoa(size)},
		"sort_by": {"created_at"}, "sort_order": {"asc"}, "return_full_object": {"true"},
	}
	for name, value := range map[string]string{"user_id": f.UserID, "team_id": f.TeamID, "key_alias": f.Alias} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var out struct {
		Keys        []keyAnswer
		TotalCount  int `json:"total_count"`
		CurrentPage int `json:"current_page"`
		TotalPages  int `json:"total_pages"`
	}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/key/list", query: query}, &out); err != nil {
		return KeyPage{}, err
	}
	p := KeyPage{Page: page, TotalPages: out.TotalPages, TotalCount: out.TotalCount}
	for _, k := range out.Keys {
		p.Keys = append(p.Keys, k.key(k.Token))
	}
	return p, nil
}

func (c *Client) postKey(ctx context.Context, path, hash string, body map[string]any) error {
	if err := checkHash(hash); err != nil {
		return err
	}
	body["key"] = hash
	return c.do(ctx, call{method: http.MethodPost, path: path, body: body}, nil)
}

// checkHash refuses what is not the hash of a key.
func checkHash(hash string) error {
	ok := len(hash) == 64
	for _, r := range hash {
		ok = ok && (r >= '0' && r <= '9' || r >= 'a' && r <= 'f')
	}
	if !ok {
		return models.Errorf(models.Invalid, "a key is named by the hex SHA-256 of its secret")
	}
	return nil
}

// body is the limits in LiteLLM's words; null takes a limit away.
func (l KeyLimits) body(now time.Time) (map[string]any, error) {
	switch {
	case len(l.Models) == 0 || slices.Contains(l.Models, ""):
		return nil, models.Errorf(models.Invalid, "a key needs the models it may call: without any, LiteLLM lets it call all")
	case l.MaxBudget != nil && *l.MaxBudget < 0:
		return nil, models.Errorf(models.Invalid, "a budget must be zero or more")
	}
	body := map[string]any{
		"models": l.Models, "max_budget": l.MaxBudget, "tpm_limit": l.TPM, "rpm_limit": l.RPM,
		"max_parallel_requests": l.MaxParallelRequests,
		"budget_duration":       orNull(l.BudgetDuration), "key_alias": orNull(l.Alias),
		"duration": nil, "metadata": map[string]any{},
	}
	if l.Metadata != nil { // null is refused
		body["metadata"] = l.Metadata
	}
	if len(l.ModelTPM) > 0 { // kept inside metadata, so the new metadata has dropped the old ones
		body["model_tpm_limit"] = l.ModelTPM
	}
	if len(l.ModelRPM) > 0 {
		body["model_rpm_limit"] = l.ModelRPM
	}
	if l.ExpiresAt != nil {
		seconds := math.Ceil(l.ExpiresAt.Sub(now).Seconds())
		if seconds < 1 {
			return nil, models.Errorf(models.Invalid, "a key cannot expire in the past")
		}
		body["duration"] = strconv.FormatFloat(seconds, 'f', 0, 64) + "s"
	}
	for key, value := range body { // a nil pointer is null too
		if isNil(value) {
			body[key] = nil
		}
	}
	return body, nil
}

func isNil(value any) bool {
	switch v := value.(type) {
	case *int64:
		return v == nil
	case *models.USD:
		return v == nil
	}
	return value == nil
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// keyAnswer is a key in LiteLLM's words.
type keyAnswer struct {
	Token               string
	KeyName             string      `json:"key_name"`
	KeyAlias            string      `json:"key_alias"`
	UserID              string      `json:"user_id"`
	TeamID              string      `json:"team_id"`
	Models              []string    `json:"models"`
	MaxBudget           *models.USD `json:"max_budget"`
	BudgetDuration      string      `json:"budget_duration"`
	BudgetResetAt       stamp       `json:"budget_reset_at"`
	Spend               models.USD
	TPM                 *int64 `json:"tpm_limit"`
	RPM                 *int64 `json:"rpm_limit"`
	MaxParallelRequests *int64 `json:"max_parallel_requests"`
	Metadata            map[string]json.RawMessage
	Blocked             bool // null: false
	Expires             stamp
	Status              string
	CreatedAt           stamp `json:"created_at"`
	UpdatedAt           stamp `json:"updated_at"`
	LastActive          stamp `json:"last_active"`
	SettingsAt          stamp `json:"settings_updated_at"`
}

func (a keyAnswer) key(hash string) models.ProxyKey {
	slices.Sort(a.Models)
	return models.ProxyKey{
		Hash: hash, Hint: a.KeyName, Alias: a.KeyAlias, UserID: a.UserID, TeamID: a.TeamID, Models: a.Models,
		MaxBudget: a.MaxBudget, BudgetDuration: a.BudgetDuration, BudgetResetAt: a.BudgetResetAt.at, Spend: a.Spend,
		TPM: a.TPM, RPM: a.RPM, MaxParallelRequests: a.MaxParallelRequests,
		ModelTPM: takeCounts(a.Metadata, "model_tpm_limit"), ModelRPM: takeCounts(a.Metadata, "model_rpm_limit"),
		Blocked: a.Blocked, ExpiresAt: a.Expires.at, Metadata: a.Metadata,
		CreatedAt: a.CreatedAt.at, UpdatedAt: a.UpdatedAt.at, LastActiveAt: a.LastActive.at, SettingsAt: a.SettingsAt.at,
	}
}

// takeCounts moves one of LiteLLM's own entries out of metadata.
func takeCounts(metadata map[string]json.RawMessage, name string) map[string]int64 {
	var counts map[string]int64
	if json.Unmarshal(metadata[name], &counts) == nil {
		delete(metadata, name)
	}
	return counts
}

// stamp is a time as LiteLLM writes it: with or without an offset from UTC.
type stamp struct{ at *time.Time }

func (s *stamp) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || text == "" {
		return err
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999999", text)
	}
	if err != nil {
		return err
	}
	at = at.UTC()
	s.at = &at
	return nil
}
