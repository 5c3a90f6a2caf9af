package litellmtest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// user is a user as he is stored, and kept in the state file.
type user struct {
	ID                string
	Alias, Email      *string
	Role              *string
	Models, Teams     []string
	MaxBudget         *float64
	Period            *string
	ResetAt           *time.Time
	Spend             float64
	TPM, RPM          *int64
	Metadata          map[string]json.RawMessage
	Order             int64
	CreatedAt, Update time.Time
}

// userFields are what a user may be given, in the order in which LiteLLM checks them.
var userFields = []field{
	{"user_alias", text},
	{"models", textList},
	{"spend", number},
	{"max_budget", number},
	{"user_id", text},
	{"metadata", dict},
	{"tpm_limit", whole},
	{"rpm_limit", whole},
	{"budget_duration", text},
	{"user_email", text},
	{"user_role", text},
	{"teams", textList},
	{"auto_create_key", flag},
}

// light is the user as GET /v2/user/info answers him.
func (u *user) light() object {
	models, teams, metadata := u.Models, u.Teams, u.Metadata
	if models == nil {
		models = []string{}
	}
	if teams == nil {
		teams = []string{}
	}
	if metadata == nil {
		metadata = map[string]json.RawMessage{}
	}
	return object{
		"user_id": u.ID, "user_email": u.Email, "user_alias": u.Alias, "user_role": u.Role, "spend": u.Spend, "max_budget": u.MaxBudget,
		"tpm_limit": u.TPM, "rpm_limit": u.RPM, "models": models, "budget_duration": u.Period, "budget_reset_at": at(u.ResetAt),
		"metadata": metadata, "created_at": at(&u.CreatedAt), "updated_at": at(&u.Update), "sso_user_id": nil, "teams": teams,
		"object_permission": nil, "model_max_budget": object{}, "model_max_budget_usage": object{},
	}
}

// row is the user as the other calls answer him.
func (u *user) row() object {
	row := u.light()
	delete(row, "model_max_budget_usage")
	for _, name := range []string{"team_id", "organization_id", "max_parallel_requests", "organization_memberships"} {
		row[name] = nil
	}
	row["policies"], row["allowed_cache_controls"], row["model_spend"] = []string{}, []string{}, object{}
	return row
}

// checkUser refuses what LiteLLM refuses of a user.
func checkUser(f fields, typ string, param any) answer {
	if role := get[string](f, "user_role"); role != nil && !slices.Contains([]string{roleAdmin, roleViewer, "internal_user", "internal_user_viewer"}, *role) {
		return unprocessable(problem("literal_error", "Input should be <LitellmUserRoles.PROXY_ADMIN: 'proxy_admin'>, <LitellmUserRoles.PROXY_ADMIN_VIEW_ONLY: 'proxy_admin_viewer'>, <LitellmUserRoles.INTERNAL_USER: 'internal_user'> or <LitellmUserRoles.INTERNAL_USER_VIEW_ONLY: 'internal_user_viewer'>", "body", "user_role"))
	}
	return checkPeriod(f, typ, param)
}

func (p *Proxy) newUser(r *request) answer {
	f, err := readFields(r, userFields)
	if err != nil {
		return err
	}
	if err := checkUser(f, typeInternal, nil); err != nil {
		return err
	}
	id := deref(get[string](f, "user_id"))
	if id == "" {
		id = uuid.NewString()
	}
	taken := func(what string) answer {
		return pythonError(http.StatusConflict, "User with "+what+" already exists", typeInternal, nil)
	}
	if p.users[id] != nil {
		return taken("id " + id)
	}
	if email := get[string](f, "user_email"); email != nil {
		for _, u := range p.users {
			if u.Email != nil && strings.EqualFold(*u.Email, *email) {
				return taken("email " + *u.Email)
			}
		}
	}
	u := p.addUser(id, r.now)
	u.fill(f, r.now, false)
	u.Teams = deref(get[[]string](f, "teams"))
	secret, madeAt := "", (*time.Time)(nil)
	if auto := get[bool](f, "auto_create_key"); auto == nil || *auto { // the default
		secret, madeAt = p.keyFor(u, r.now), &r.now
	}
	return jsonAnswer(http.StatusOK, u.echo(secret, madeAt))
}

// echo is the answer to a new user: that of his key, of which there may be none.
func (u *user) echo(secret string, madeAt *time.Time) object {
	row := u.row()
	for _, name := range []string{"budget_reset_at", "model_spend", "organization_memberships", "sso_user_id"} {
		delete(row, name)
	}
	row["teams"], row["policies"] = nil, nil
	if secret == "" {
		row["model_max_budget"] = nil
	}
	row["key"], row["created_at"], row["updated_at"] = secret, at(madeAt), at(madeAt)
	return row
}

func (p *Proxy) addUser(id string, now time.Time) *user {
	p.order++
	u := &user{ID: id, CreatedAt: now, Update: now, Order: p.order}
	p.users[id] = u
	return u
}

// userNow finds a user, with his budget reset if its period has ended.
func (p *Proxy) userNow(id string, now time.Time) *user {
	u := p.users[id]
	if u != nil && u.Period != nil && u.ResetAt != nil && !now.Before(*u.ResetAt) {
		u.Spend, u.ResetAt = 0, resetAt(*u.Period, now)
	}
	return u
}

// keyFor makes the key that nobody asked for.
func (p *Proxy) keyFor(u *user, now time.Time) string {
	secret := "sk-" + rand.Text()
	p.order++
	k := &key{Token: hash(secret), Name: "sk-..." + secret[len(secret)-4:], UserID: &u.ID, CreatedAt: now, UpdatedAt: now, Order: p.order}
	p.keys[k.Token] = k
	return secret
}

// updateUser is an upsert for an admin.
func (p *Proxy) updateUser(r *request) answer {
	f, err := readFields(r, userFields)
	if err != nil {
		return err
	}
	id, email := deref(get[string](f, "user_id")), deref(get[string](f, "user_email"))
	if id == "" && email == "" {
		return unprocessable(problem("value_error", "Value error, Either user id or user email must be provided", "body"))
	}
	if err := checkUser(f, typeAuth, "None"); err != nil {
		return err
	}
	if id == "" {
		for _, u := range p.users {
			if u.Email != nil && strings.EqualFold(*u.Email, email) {
				id = u.ID
			}
		}
	}
	if id == "" { // a bug of LiteLLM's
		return proxyError(http.StatusBadRequest, "Authentication Error, 'LiteLLM_UserTable' object has no attribute 'get'", typeAuth, "None")
	}
	if p.users[id] == nil {
		p.addUser(id, r.now)
	}
	changed := *p.users[id]
	changed.fill(f, r.now, p.old)
	changed.Update = r.now
	p.users[id] = &changed
	return jsonAnswer(http.StatusOK, object{"user_id": id, "data": changed.row()})
}

// fill puts the fields of a body into u. Null takes away a limit, unless the version is too
// old; null or empty of anything else is ignored.
func (u *user) fill(f fields, now time.Time, nullIgnored bool) {
	if nullIgnored {
		f.keepLimits()
	}
	set(f, "max_budget", &u.MaxBudget)
	set(f, "tpm_limit", &u.TPM)
	set(f, "rpm_limit", &u.RPM)
	if _, there := f["budget_duration"]; there {
		set(f, "budget_duration", &u.Period)
		u.ResetAt = nil
		if u.Period != nil {
			u.ResetAt = resetAt(*u.Period, now)
		}
	}
	for name, into := range map[string]**string{"user_alias": &u.Alias, "user_email": &u.Email, "user_role": &u.Role} {
		if v := get[string](f, name); v != nil {
			*into = v
		}
	}
	if m := get[[]string](f, "models"); m != nil && len(*m) > 0 {
		u.Models = *m
	}
	if m := get[map[string]json.RawMessage](f, "metadata"); m != nil && len(*m) > 0 {
		u.Metadata = *m
	}
	if s := get[float64](f, "spend"); s != nil {
		u.Spend = *s
	}
}

// deleteUsers removes users and their keys, without a trace of either; all of them or none.
func (p *Proxy) deleteUsers(r *request) answer {
	f, err := readFields(r, []field{{"user_ids", textList}})
	if err != nil {
		return err
	}
	ids := get[[]string](f, "user_ids")
	if ids == nil {
		return unprocessable(problem("missing", "Field required", "body", "user_ids"))
	}
	for _, id := range *ids {
		if p.users[id] == nil {
			return detail(http.StatusNotFound, object{"error": "User not found, passed user_id=" + id})
		}
	}
	for _, id := range *ids {
		delete(p.users, id)
		maps.DeleteFunc(p.keys, func(_ string, k *key) bool { return deref(k.UserID) == id })
	}
	return jsonAnswer(http.StatusOK, len(*ids))
}

func (p *Proxy) userInfo(r *request) answer {
	id, row := r.URL.Query().Get("user_id"), object(nil)
	switch u := p.userNow(id, r.now); {
	case u != nil:
		row = u.row()
		row["organization_memberships"] = []any{}
	case id != "":
		return proxyError(http.StatusNotFound, "User "+id+" not found", typeInternal, nil)
	}
	keys := []object{}
	for _, k := range oldestFirst(p.keys) {
		if id == "" || deref(k.UserID) == id { // without an id: the admin, and all keys
			keys = append(keys, k.row())
		}
	}
	return jsonAnswer(http.StatusOK, object{"user_id": cmp.Or(id, "default_user_id"), "user_info": row, "keys": keys, "teams": []any{}})
}

func (p *Proxy) userInfoV2(r *request) answer {
	id := r.URL.Query().Get("user_id")
	if u := p.userNow(id, r.now); u != nil {
		return jsonAnswer(http.StatusOK, u.light())
	}
	return proxyError(http.StatusNotFound, "User not found: "+cmp.Or(id, "default_user_id"), typeInternal, nil)
}

// userOrders are the columns that a list of users can be sorted by.
var userOrders = map[string]func(a, b *user) int{
	"created_at": func(a, b *user) int { return int(a.Order - b.Order) },
	"user_id":    func(a, b *user) int { return strings.Compare(a.ID, b.ID) },
	"user_email": func(a, b *user) int { return strings.Compare(deref(a.Email), deref(b.Email)) },
	"user_alias": func(a, b *user) int { return strings.Compare(deref(a.Alias), deref(b.Alias)) },
	"user_role":  func(a, b *user) int { return strings.Compare(deref(a.Role), deref(b.Role)) },
	"spend":      func(a, b *user) int { return cmp.Compare(a.Spend, b.Spend) },
}

// listUsers is GET /user/list: the newest first, unless it is asked otherwise.
func (p *Proxy) listUsers(r *request) answer {
	query := r.URL.Query()
	column, direction := query.Get("sort_by"), strings.ToLower(query.Get("sort_order"))
	if column == "" {
		column, direction = "created_at", "desc"
	}
	switch {
	case userOrders[column] == nil:
		return detail(http.StatusBadRequest, object{"error": "Invalid sort column. Must be one of: user_id, user_email, created_at, spend, user_alias, user_role"})
	case !slices.Contains([]string{"", "asc", "desc"}, direction):
		return detail(http.StatusBadRequest, object{"error": "Invalid sort order. Must be 'asc' or 'desc'"})
	}
	list := slices.SortedFunc(maps.Values(p.users), userOrders["created_at"])
	slices.SortStableFunc(list, userOrders[column])
	if direction == "desc" {
		slices.Reverse(list)
	}
	if ids := strings.Split(query.Get("user_ids"), ","); len(ids) > 1 {
		list = slices.DeleteFunc(list, func(u *user) bool { return !slices.Contains(ids, u.ID) })
	} else { // one alone is searched for
		list = slices.DeleteFunc(list, func(u *user) bool { return !strings.Contains(u.ID, ids[0]) })
	}
	page, err := pages(r, "page_size", 25, 100, len(list))
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, k := range p.keys {
		counts[deref(k.UserID)]++
	}
	out := make([]object, 0, page.to-page.from)
	for _, u := range list[page.from:page.to] {
		row := u.row()
		row["key_count"] = counts[u.ID]
		out = append(out, row)
	}
	return jsonAnswer(http.StatusOK, object{
		"users": out, "total": page.total, "page": page.number, "page_size": page.size, "total_pages": page.pages,
	})
}
