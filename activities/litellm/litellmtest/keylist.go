package litellmtest

import (
	"net/http"
	"slices"
	"strings"
)

func (p *Proxy) keyInfo(r *request) answer {
	name := r.URL.Query().Get("key")
	if name == "" && r.who.key != nil { // an alias is ignored: the caller's own key
		name = r.who.key.Token
	}
	token := tokenOf(name)
	k := p.stored1(token, r.now)
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
	"spend":      func(a, b *key) int { return compareFloat(a.Spend, b.Spend) },
	"max_budget": func(a, b *key) int { return compareFloat(deref(a.MaxBudget), deref(b.MaxBudget)) },
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
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
