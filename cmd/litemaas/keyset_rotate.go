package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/activities"
	"github.com/litemaas/litemaas/cmd/internal/keyset"
	"github.com/litemaas/litemaas/models"
	"github.com/litemaas/litemaas/models/store"
	"github.com/litemaas/litemaas/temporal"
	"github.com/litemaas/litemaas/workflows"
)

// everyReplica is what has to be done with a keyset that was changed.
const everyReplica = `Give it to every replica, restart them all ("litemaas serve", "litemaas worker"), and see that
all of them run. Then run "litemaas keyset rotate" again.`

func rotateCmd() *cobra.Command {
	var toOutput bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Do the next step of changing the key that seals", Args: cobra.NoArgs,
		Long: `Do the next step of changing the key that seals, and say what to do then. Nobody notices
anything of it, as long as every replica has got the keyset of one step before the next:

  1. A new key is added to the keyset. It opens only.
  2. The new key seals; the old ones open.
  3. A workflow, reseal-secrets, seals anew what the old keys sealed: workers do it, and this
     command waits for them and prints what was done. Interrupting it leaves them at work.

Steps 1 and 2 change the file of secrets.keyset_file. Where the keyset is kept elsewhere, use
--print. The old keys stay in the keyset, for old backups need them: see "litemaas keyset
narrow --help".

Exit status: 0 when the step is done, 1 when something is still sealed by an old key or
cannot be opened, or a worker has another keyset, 2 when the command line or the
configuration is wrong.`,
		Example: `  litemaas keyset rotate
  litemaas keyset rotate --print > next.json    # steps 1 and 2, for a keyset that is kept elsewhere

Then: what it says, and litemaas keyset status at the end.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd, needsDatabase, needsKeyset)
			if err != nil {
				return err
			}
			text, err := cfg.Secrets.plain()
			if err != nil {
				return err
			}
			step, err := keyset.NextStep(text)
			if err != nil {
				return err
			}
			if step == keyset.StepReseal {
				return reseal(cmd, cfg)
			}
			return changeKeyset(cmd, cfg.Secrets, text, step, toOutput)
		},
	}
	cmd.Flags().BoolVar(&toOutput, "print", false, "print the changed keyset to standard output, and leave the file as it is")
	return cmd
}

// changeKeyset does step 1 or 2 of a rotation.
func changeKeyset(cmd *cobra.Command, c secretsConfig, text models.Secret, step keyset.Step, toOutput bool) error {
	change, did := keyset.Widened, "Step 1 of 3: the keyset has got a new key, which opens only."
	if step == keyset.StepPromote {
		change, did = keyset.Promoted, "Step 2 of 3: the new key of the keyset seals from now on."
	}
	next, err := change(text)
	if err != nil {
		return err
	}
	return putKeyset(cmd, c, next, toOutput, did, everyReplica)
}

// putKeyset encrypts a keyset if that is configured, writes it where it is kept, and says what was
// done and what comes next.
func putKeyset(cmd *cobra.Command, c secretsConfig, plain models.Secret, toOutput bool, did, next string) error {
	if !toOutput && !c.Keyset.IsZero() {
		return models.Errorf(models.Invalid, "secrets.keyset is no file that could be changed: use --print, and put the output where you keep it").On("secrets.keyset")
	}
	text, err := c.kept(plain)
	if err != nil {
		return err
	}
	if toOutput {
		fmt.Fprintln(cmd.OutOrStdout(), text.Reveal())
		fmt.Fprintf(cmd.ErrOrStderr(), "%s\n\n%s\n", did, next)
		return nil
	}
	if err := keyset.Replace(c.KeysetFile, text); err != nil {
		return models.Errorf(models.Invalid, "secrets.keyset_file: %s: use --print, and put the output where you keep it", err).On("secrets.keyset_file")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\nIt is in %s.\n\n%s\n", did, c.KeysetFile, next)
	return nil
}

// lookForReseal is how often the command looks at how far the workers are.
const lookForReseal = 2 * time.Second

// reseal does step 3: it has the workers seal everything anew, and waits for them.
func reseal(cmd *cobra.Command, cfg config) error {
	sealer, err := cfg.Secrets.sealer()
	if err != nil {
		return err
	}
	st, closed, err := cfg.openSealed(cmd.Context())
	if err != nil {
		return err
	}
	defer closed()
	c, err := temporal.Dial(cmd.Context(), cfg.Temporal, slog.Default())
	if err != nil {
		return err
	}
	defer c.Close()
	key := sealer.Keys()[0]
	run, err := workflows.Start(cmd.Context(), c, workflows.ResealSecrets, workflows.ResealSecretsInput{Key: key.Name, Actor: operator})
	if err != nil {
		return err
	}
	res, err := follow(cmd.Context(), run, st, key, newProgress(cmd.ErrOrStderr(), false))
	if err != nil {
		return err
	}
	if err := writeResealed(cmd.OutOrStdout(), res, key.Name, st.SealedPlaces()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\nStep 3 of 3: key %s has sealed everything. The other keys of the keyset are of use for backups\nfrom before only; without them: litemaas keyset narrow\n", key.Name)
	return nil
}

// follow waits for a run, and tells p how far it is.
func follow(ctx context.Context, run workflows.Run[workflows.ResealSecretsResult], st activities.SealedKeeper, key models.SealingKey, p *progress) (workflows.ResealSecretsResult, error) {
	defer p.end()
	for {
		res, err := run.Wait(ctx, lookForReseal)
		if models.KindOf(err) != models.Pending || err == nil {
			return res, err
		}
		if ctx.Err() != nil {
			return res, models.Errorf(models.Pending, "the workers go on; `litemaas keyset rotate` joins them, `litemaas keyset status` shows how far they are")
		}
		if counts, err := st.CountSealed(ctx); err == nil {
			p.step(fmt.Sprintf("%s left that another key sealed; a worker must run", count(foreign(counts, key.Mark), "value")))
		}
	}
}

// foreign is how many values another key sealed.
func foreign(counts []store.SealedCount, mark []byte) int {
	n := 0
	for _, c := range counts {
		if !bytes.Equal(c.Head, mark) {
			n += c.N
		}
	}
	return n
}

// writeResealed prints what was done; its error is what was not, of all these places.
func writeResealed(w io.Writer, r workflows.ResealSecretsResult, key string, places []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PLACE\tVALUES\tSEALED ANEW\tBY OTHER KEYS\tCANNOT BE OPENED")
	for _, p := range r.Places {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\n", p.Place, p.Total, p.Resealed, max(p.Left-p.Lost, 0), p.Lost)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range r.Places {
		for _, row := range p.Rows {
			fmt.Fprintf(w, "cannot be opened: %s of %s\n", p.Place, plain(row))
		}
	}
	left, lost := r.Left()
	missed := slices.IndexFunc(places, func(place string) bool {
		return !slices.ContainsFunc(r.Places, func(p activities.ResealedPlace) bool { return p.Place == place })
	})
	switch {
	case r.Key != key:
		return models.Errorf(models.Conflict, "this was a run for key %s, which was under way: run `litemaas keyset rotate` again", r.Key)
	case missed >= 0:
		return models.Errorf(models.Conflict, "the worker knows nothing of %s: give all replicas the same sessions.store, restart them, and run `litemaas keyset rotate` again", places[missed])
	case left > 0:
		return models.Errorf(models.Conflict, "%s still sealed by other keys than %s: a replica seals by one of them. Give every replica the keyset, restart it, and run `litemaas keyset rotate` again", count(left, "value"), key)
	case lost > 0:
		return models.Errorf(models.Conflict, "no key of the keyset opens %s: they are as they were. Should you have the keyset that sealed them, put its keys into this one", count(lost, "value"))
	}
	return nil
}
