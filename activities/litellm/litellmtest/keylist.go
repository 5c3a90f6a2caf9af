package litellmtest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// row is the key as most calls answer it.
func (k *key) row() object {
	models, metadata := k.Models, k.Metadata
	if models == nil {
		models = []string{}
	}
	if metadata == nil {
		metadata = map[string]json.RawMessage{}
	}
	return object{
		"token": k.Token, "key_name": k.Name, "key_alias": k.Alias, "user_id": k.UserID, "team_id": k.TeamID, "models": models,
		"max_budget": k.MaxBudget, "budget_duration": k.Period, "budget_reset_at": at(k.ResetAt), "spend": k.Spend, "total_spend": k.TotalSpend,
		"tpm_limit": k.TPM, "rpm_limit": k.RPM, "tpd_limit": nil, "max_parallel_requests": k.Parallel, "metadata": metadata,
		"blocked": k.Blocked, "expires": at(k.Expires), "soft_budget_cooldown": false, "key_type": "default",
		"created_at": at(&k.CreatedAt), "created_by": "default_user_id", "updated_at": at(&k.UpdatedAt), "updated_by": "default_user_id",
		"settings_updated_at": at(k.SettingsAt), "last_active": at(k.ActiveAt), "rotation_count": 0, "auto_rotate": false,
		"aliases": object{}, "config": object{}, "permissions": object{}, "model_spend": object{}, "model_max_budget": object{},
		"allowed_routes": []string{}, "allowed_cache_controls": []string{}, "budget_id": nil, "litellm_budget_table": nil,
		"router_settings": object{}, "budget_limits": nil, "object_permission": nil, "access_group_ids": []string{},
	}
}

// info is the key as /key/info and /key/update answer it: the times are written another way.
func (k *key) info() object {
	row := k.row()
	delete(row, "token")
	for name, t := range map[string]*time.Time{
		"budget_reset_at": k.ResetAt, "expires": k.Expires, "created_at": &k.CreatedAt, "updated_at": &k.UpdatedAt,
		"settings_updated_at": k.SettingsAt, "last_active": k.ActiveAt,
	} {
		row[name] = info(t)
	}
	return row
}

// echo is the answer to a new key: what was asked for, not what is stored.
func (k *key) echo(secret string) object {
	row := k.row()
	for _, name := range []string{"total_spend", "soft_budget_cooldown", "rotation_count", "auto_rotate", "model_spend", "settings_updated_at", "last_active", "budget_reset_at"} {
		delete(row, name)
	}
	row["key"], row["token_id"], row["duration"], row["organization_id"] = secret, k.Token, nil, nil
	return row
}

// statusOf is what /key/info calls the state of a key.
func (k *key) statusOf(now time.Time) string {
	switch {
	case k.GoneAt != nil:
		return "deleted"
	case k.Blocked != nil && *k.Blocked:
		return "revoked"
	case k.Expires != nil && !now.Before(*k.Expires):
		return "expired"
	}
	return "active"
}

func (p *Proxy) keyInfo(r *request) answer {
	name := r.URL.Query().Get("key")
	if name == "" && r.who.key != nil { // an alias is ignored: the caller's own key
		name = r.who.key.Token
	}
	token := tokenOf(name)
	k := p.keyNow(token, r.now)
	if k == nil {
		k = p.deleted[token]
	}
	if k == nil {
		return proxyError(http.StatusNotFound, "Key not found in database", typeNotFound, "key")
	}
	if own := r.who.key; own != nil && own.Token != token && r.who.role != roleAdmin && r.who.role != roleViewer {
		return proxyError(http.StatusForbidden, "You are not allowed to access this key's info. Your role="+r.who.role, typeAuth, "None")
	}
	row := k.info()
	row["status"] = k.statusOf(r.now)
	if k.GoneAt != nil {
		row["id"], row["deleted_at"], row["deleted_by"], row["deleted_by_api_key"] = k.ArchiveID, info(k.GoneAt), "default_user_id", "litellm_proxy_master_key"
	}
	return jsonAnswer(http.StatusOK, object{"key": name, "info": row})
}

// keyOrders are the columns that a list of keys can be sorted by.
var keyOrders = map[string]func(a, b *key) int{
	"created_at": func(a, b *key) int { return int(a.Order - b.Order) },
	"updated_at": func(a, b *key) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	"token":      func(a, b *key) int { return strings.Compare(a.Token, b.Token) },
	"key_alias":  func(a, b *key) int { return strings.Compare(deref(a.Alias), deref(b.Alias)) },
	"spend":      func(a, b *key) int { return cmp.Compare(a.Spend, b.Spend) },
	"max_budget": func(a, b *key) int { return cmp.Compare(deref(a.MaxBudget), deref(b.MaxBudget)) },
}

// listKeys is GET /key/list: the newest first, unless it is asked otherwise.
func (p *Proxy) listKeys(r *request) answer {
	query := r.URL.Query()
	order, descending := query.Get("sort_by"), query.Get("sort_order") != "asc"
	if order == "" {
		order, descending = "created_at", true
	}
	if keyOrders[order] == nil {
		return pythonError(http.StatusBadRequest, "Invalid sort column. Must be one of: spend, max_budget, created_at, updated_at, token, key_alias", typeInternal, "None")
	}
	if full := query.Get("return_full_object"); full != "" && !isFlag(full) {
		return unprocessable(problem("bool_parsing", "Input should be a valid boolean, unable to interpret input", "query", "return_full_object"))
	}
	list := slices.DeleteFunc(oldestFirst(p.keys), func(k *key) bool {
		for name, value := range map[string]string{"user_id": deref(k.UserID), "team_id": deref(k.TeamID), "key_alias": deref(k.Alias), "key_hash": k.Token} {
			if want := query.Get(name); want != "" && want != value {
				return true
			}
		}
		return false
	})
	slices.SortStableFunc(list, keyOrders[order])
	if descending {
		slices.Reverse(list)
	}
	page, err := pages(r, "size", 10, 100, len(list))
	if err != nil {
		return err
	}
	out := make([]any, 0, page.to-page.from)
	for _, k := range list[page.from:page.to] {
		if query.Get("return_full_object") == "true" {
			out = append(out, k.row())
		} else {
			out = append(out, k.Token)
		}
	}
	return jsonAnswer(http.StatusOK, object{
		"keys": out, "total_count": page.total, "current_page": page.number, "total_pages": page.pages,
	})
}
