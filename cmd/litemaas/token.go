package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
)

func tokenCmd() *cobra.Command {
	var user, role string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "token", Short: "Make an access token of a user", GroupID: groupHelp, Args: cobra.NoArgs,
		Long: `Make an access token of a user, and print it to standard output. It works as if he had signed
in, and shows among his sessions, where it can be ended. What he may do is looked up at
each request, as ever.

It needs the database and the keyset (secrets.keyset) of the API, and its Redis if sessions are
there. That a token was made is written into the audit log.`,
		Example: `  litemaas token --user ada@example.com
  litemaas token --user ada@example.com --for 10m
  litemaas token --user robot --role user        # who has no account gets one, with that role

Then: curl -H "Authorization: Bearer $(litemaas token --user ada@example.com)" http://localhost:8081/api/v1/auth/me`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase, needsKeyset)
			if err != nil {
				return err
			}
			if user == "" {
				return models.Errorf(models.Invalid, "whose token? --user wants a username").On("--user")
			}
			if lifetime < minute || lifetime > cfg.Auth.WebLifetime {
				return models.Errorf(models.Invalid, "--for is %s: it must be from %s to auth.web_lifetime, %s", lifetime, brief(minute), brief(cfg.Auth.WebLifetime)).On("--for")
			}
			st, err := store.Open(cmd.Context(), cfg.Database)
			if err != nil {
				return err
			}
			defer st.Close()
			rdb, err := cfg.Redis.open()
			if err != nil {
				return err
			}
			if rdb != nil {
				defer rdb.Close()
			}
			people, err := cfg.people(cfg.sessions(st, rdb))
			if err != nil {
				return err
			}
			u, err := account(cmd.Context(), st, cfg.Auth.UserLimits, user, role)
			if err != nil {
				return err
			}
			g, err := people.Flow.Mint(cmd.Context(), u, lifetime)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s with the roles %v, until %s; session %s\n",
				u.Username, u.Roles, g.Principal.ExpiresAt.Format(time.RFC3339), g.Principal.SessionID)
			fmt.Fprintln(cmd.OutOrStdout(), g.Access.Reveal())
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "`username` of whose token it is")
	cmd.Flags().StringVar(&role, "role", "", "give him that `role` for good; who has no account gets one")
	cmd.Flags().DurationVar(&lifetime, "for", hour, "how long it is good, such as 10m")
	return cmd
}

// operator is who uses the command line, as the audit log names him.
var operator = models.Actor{ID: "system", Via: "cli"}

// account is the user of that name, with the role if one is given. Who has no account gets one
// for the role.
func account(ctx context.Context, st *store.Store, limits models.Limits, username, role string) (models.User, error) {
	u, err := st.UserNamed(ctx, username)
	missing := models.KindOf(err) == models.NotFound
	switch {
	case missing && role == "":
		return u, models.Errorf(models.NotFound, "there is no user %s: he signs in first, or gets an account by --role", username)
	case err != nil && !missing, role == "":
		return u, err
	}
	if _, err := st.Role(ctx, role); err != nil {
		return u, err
	}
	if missing {
		return st.SignIn(ctx, models.Identity{Provider: "cli", Subject: username, Username: username, Roles: []string{role}},
			models.Initials{Limits: limits}, models.Origin{UserAgent: "litemaas token"})
	}
	return st.AssignRole(ctx, u.ID, role, operator, models.Permissions{models.Everything})
}
