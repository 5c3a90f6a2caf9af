package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/litemaas/litemaas/models"
)

// SignIn makes the person whom an identity provider vouches for a user, in one transaction: the
// one that he is already, the one of another provider with his e-mail address if both sides have
// verified it, or a new one with the given limits, in the default team. His username and e-mail address follow
// the provider as far as they are free, his name until he changes it himself, and the roles
// that the provider gave become those of the identity. LiteLLM is concerned, and the generation
// raised, only when something changes that it holds too.
//
// It is Forbidden when the user is deactivated, Conflict when the e-mail address is somebody
// else's, Unauthenticated when the identity is nobody's; each is audited. Not for use in a
// transaction.
func (s *Store) SignIn(ctx context.Context, id models.Identity, initials models.Initials, from models.Origin) (models.User, error) {
	var u models.User
	who := models.Nobody(from)
	err := id.Check()
	if err == nil {
		err = s.InTx(ctx, func(tx *Store) error {
			found, err := tx.recognise(ctx, id, from)
			if found.ID != uuid.Nil {
				who.ID = found.ID.String()
			}
			switch {
			case err != nil:
				return err
			case found.ID == uuid.Nil:
				found.ID, err = tx.createUser(ctx, id, initials.Limits, from)
			default:
				err = tx.follow(ctx, found, id, from)
			}
			if err != nil {
				return err
			}
			u, err = tx.enter(ctx, found.ID, id, initials, from)
			return err
		})
	}
	if err == nil {
		return u, nil
	}
	kind := models.KindOf(err)
	if kind != models.Forbidden && kind != models.Conflict && kind != models.Unauthenticated {
		return models.User{}, err
	}
	refusal := models.Event{
		Action: models.AuditFailed, ResourceType: models.AuditOfAuth, ResourceID: id.Subject, Failure: err.Error(),
		Detail: map[string]any{"provider": id.Provider, "username": id.Username, "email": id.Email, "emailVerified": id.EmailVerified},
	}
	if err := s.Audit(ctx, who, refusal); err != nil {
		return models.User{}, err
	}
	return models.User{}, err
}

// recognise finds the user that an identity is, who then stays as he is until the transaction
// ends; zero: there is none yet. Sign-ins of one person wait for each other.
func (s *Store) recognise(ctx context.Context, id models.Identity, from models.Origin) (models.User, error) {
	if err := s.lock(ctx, "identity "+id.Provider+" "+id.Subject); err != nil {
		return models.User{}, err
	}
	u, err := s.oneUser(ctx, "user", "u.oauth_provider = ? AND u.oauth_id = ? FOR NO KEY UPDATE OF u", id.Provider, id.Subject)
	if err == nil {
		return u, admissible(u)
	}
	if models.KindOf(err) != models.NotFound || id.Email == "" {
		return models.User{}, unless(models.NotFound, err)
	}
	if err := s.lock(ctx, "email "+strings.ToLower(id.Email)); err != nil {
		return models.User{}, err
	}
	u, err = s.oneUser(ctx, "user", "lower(u.email) = lower(?) AND u.email <> '' FOR NO KEY UPDATE OF u", id.Email)
	switch {
	case err != nil:
		return models.User{}, unless(models.NotFound, err)
	case u.Provider == id.Provider: // which gave a leaver's address to somebody else, or the same person a new account
		return u, models.Errorf(models.Conflict, "the e-mail address %s belongs to another account of %s: ask an administrator", id.Email, id.Provider)
	case !id.EmailVerified || !u.EmailVerified:
		return u, models.Errorf(models.Conflict, "the e-mail address %s belongs to another account, and it is not verified on both sides: sign in as you did before, or ask an administrator", id.Email)
	}
	if err := admissible(u); err != nil {
		return u, err
	}
	return u, s.link(ctx, u, id, from)
}

// unless is err, but nil if it is of that kind.
func unless(kind models.Kind, err error) error {
	if models.KindOf(err) == kind {
		return nil
	}
	return err
}

// admissible is Forbidden for a user who may not sign in.
func admissible(u models.User) error {
	if !u.Active() {
		return models.Errorf(models.Forbidden, "the account is deactivated: ask an administrator")
	}
	return nil
}

// link ties a user to another identity than before.
func (s *Store) link(ctx context.Context, u models.User, id models.Identity, from models.Origin) error {
	err := s.exec(ctx, "user", "UPDATE users SET oauth_provider = ?, oauth_id = ?, updated_at = now() WHERE id = ?", id.Provider, id.Subject, u.ID)
	if err != nil {
		return err
	}
	return s.Audit(ctx, signIn(from), models.Event{
		Action: models.AuditUserLink, ResourceType: models.AuditOfUser, ResourceID: u.ID.String(),
		Before: map[string]string{"provider": u.Provider, "subject": u.Subject},
		After:  map[string]string{"provider": id.Provider, "subject": id.Subject},
	})
}

// signIn is the actor of what a sign-in changes by the word of the identity provider.
func signIn(from models.Origin) models.Actor {
	by := models.System("sign-in")
	by.Origin = from
	return by
}

// createUser adds a new user under the first free of the names that suit him.
func (s *Store) createUser(ctx context.Context, id models.Identity, limits models.Limits, from models.Origin) (uuid.UUID, error) {
	sum := sha256.Sum256([]byte(id.Provider + " " + id.Subject))
	names := []string{id.Username, id.Email, id.Username + "-" + hex.EncodeToString(sum[:4])}
	name, err := s.freeUsername(ctx, uuid.Nil, names...)
	if err != nil {
		return uuid.Nil, err
	}
	if name == "" {
		return uuid.Nil, models.Errorf(models.Conflict, "the username %s belongs to another account", id.Username)
	}
	userID := uuid.New()
	err = s.exec(ctx, "user", `
		INSERT INTO users (id, username, email, email_verified, full_name, oauth_provider, oauth_id, max_budget, budget_duration, tpm_limit, rpm_limit)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		userID, name, id.Email, id.EmailVerified, id.FullName, id.Provider, id.Subject,
		limits.MaxBudget, limits.BudgetDuration, limits.TPM, limits.RPM)
	if err != nil {
		return uuid.Nil, err
	}
	if err := s.exec(ctx, "team member", "INSERT INTO team_members (team_id, user_id) VALUES (?, ?)", models.DefaultTeamID, userID); err != nil {
		return uuid.Nil, err
	}
	return userID, s.Audit(ctx, signIn(from), models.Event{
		Action: models.AuditUserCreate, ResourceType: models.AuditOfUser, ResourceID: userID.String(),
		After: map[string]any{"username": name, "email": id.Email, "provider": id.Provider},
	})
}

// freeUsername returns the first of the names that nobody but that user has, for whom it is
// kept until the transaction ends; "" if there is none.
func (s *Store) freeUsername(ctx context.Context, but uuid.UUID, names ...string) (string, error) {
	for _, name := range names {
		if name == "" {
			continue
		}
		if err := s.lock(ctx, "username "+name); err != nil {
			return "", err
		}
		var taken bool
		err := s.scan(ctx, "username", &taken, "SELECT EXISTS (SELECT FROM users WHERE username = ? AND id <> ?)", name, but)
		if err != nil || !taken {
			return name, err
		}
	}
	return "", nil
}

// freeEmail reports whether nobody but that user has the address, which is then kept for him
// until the transaction ends.
func (s *Store) freeEmail(ctx context.Context, but uuid.UUID, email string) (bool, error) {
	if err := s.lock(ctx, "email "+strings.ToLower(email)); err != nil {
		return false, err
	}
	var taken bool
	err := s.scan(ctx, "e-mail address", &taken, "SELECT EXISTS (SELECT FROM users WHERE lower(email) = lower(?) AND id <> ?)", email, but)
	return !taken, err
}

// follow brings a user into line with what the identity provider says of him now.
func (s *Store) follow(ctx context.Context, before models.User, id models.Identity, from models.Origin) error {
	u := before
	switch {
	case id.Email == "": // it says nothing
	case strings.EqualFold(id.Email, before.Email):
		u.Email, u.EmailVerified = id.Email, id.EmailVerified
	default:
		free, err := s.freeEmail(ctx, u.ID, id.Email)
		if err != nil {
			return err
		}
		if free {
			u.Email, u.EmailVerified = id.Email, id.EmailVerified
		}
	}
	if id.Username != before.Username {
		name, err := s.freeUsername(ctx, u.ID, id.Username)
		if err != nil {
			return err
		}
		if name != "" {
			u.Username = name
		}
	}
	if id.FullName != "" && !before.NamedHere {
		u.FullName = id.FullName
	}
	if u.Email == before.Email && u.EmailVerified == before.EmailVerified && u.Username == before.Username && u.FullName == before.FullName {
		return nil
	}
	if len(u.Differences(before.Proxy())) > 0 {
		u.Generation++
	}
	err := s.exec(ctx, "user", `
		UPDATE users SET username = ?, email = ?, email_verified = ?, full_name = ?, generation = ?, updated_at = now() WHERE id = ?`,
		u.Username, u.Email, u.EmailVerified, u.FullName, u.Generation, u.ID)
	if err != nil {
		return err
	}
	if err := s.tellUser(ctx, u.ID); err != nil {
		return err
	}
	return s.Audit(ctx, signIn(from), models.Event{
		Action: models.AuditUserUpdate, ResourceType: models.AuditOfUser, ResourceID: u.ID.String(),
		Before: called(before), After: called(u),
	})
}

// called is what a user is called, as the audit log shows it.
func called(u models.User) any {
	return map[string]any{"username": u.Username, "email": u.Email, "emailVerified": u.EmailVerified, "fullName": u.FullName}
}

// enter gives a user the roles that the identity provider says, and lets him in.
func (s *Store) enter(ctx context.Context, userID uuid.UUID, id models.Identity, initials models.Initials, from models.Origin) (models.User, error) {
	u, err := s.User(ctx, userID)
	if err != nil {
		return u, err
	}
	roles := slices.Clone(id.Roles)
	if len(roles) == 0 {
		roles = []string{models.RoleUser}
	}
	if u.Username == id.Username && slices.Contains(initials.Admins, u.Username) { // not who had to take another name
		roles = append(roles, models.RoleAdmin)
	}
	if err := s.replaceIDPGrants(ctx, u, roles, from); err != nil {
		return u, err
	}
	if err := s.exec(ctx, "user", "UPDATE users SET last_login_at = now() WHERE id = ?", userID); err != nil {
		return u, err
	}
	if u, err = s.User(ctx, userID); err != nil {
		return u, err
	}
	return u, s.Audit(ctx, models.Actor{ID: userID.String(), Via: "api", Origin: from}, models.Event{
		Action: models.AuditLogin, ResourceType: models.AuditOfAuth, ResourceID: userID.String(),
		Detail: map[string]any{"provider": id.Provider, "roles": u.Roles},
	})
}

// replaceIDPGrants makes the roles that a user has from the identity provider exactly these,
// save that the last active admin stays one: without an admin nobody could help.
func (s *Store) replaceIDPGrants(ctx context.Context, u models.User, roles []string, from models.Origin) error {
	grants, err := s.Grants(ctx, u.ID)
	if err != nil {
		return err
	}
	var has []string
	admin := 0 // sources of the role
	for _, g := range grants {
		if g.Source == models.GrantIDP {
			has = append(has, g.RoleID)
		}
		if g.RoleID == models.RoleAdmin {
			admin++
		}
	}
	add, drop := without(roles, has), without(has, roles)
	if slices.Contains(drop, models.RoleAdmin) && admin == 1 {
		err := s.keepAnAdmin(ctx, u.ID)
		if models.KindOf(err) == models.Conflict {
			drop = without(drop, []string{models.RoleAdmin})
		} else if err != nil {
			return err
		}
	}
	return s.regrant(ctx, u.ID, models.GrantIDP, add, drop, signIn(from))
}
