package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/litemaas/litemaas/models"
)

// adminKeyEnv names the admin key of the server that `litemaas sync` talks to.
const adminKeyEnv = "LITEMAAS_ADMIN_KEY"

// devAdminKey is where `litemaas dev` leaves its admin key.
var devAdminKey = filepath.Join(".dev", "admin-key")

const (
	// A run is looked at soon, for most are short, and then less often.
	firstLook = 100 * time.Millisecond
	lookEvery = time.Second
	// looksLost is how many looks in a row may fail before we stop looking: a server that is
	// restarted is back by then, and the run does not mind.
	looksLost = 30
	// mostAnswer bounds an answer.
	mostAnswer = 4 << 20
)

// server is a running server, as its admin sees it.
type server struct {
	url  string
	key  models.Secret
	http *http.Client
	tick func(ctx context.Context, looks int) error // waits until the next look at a run
}

// dial finds the server and its admin key. It does not connect.
func dial(cmd *cobra.Command) (*server, error) {
	cfg, err := load(cmd)
	if err != nil {
		return nil, err
	}
	address, err := cmd.Flags().GetString("url")
	if err != nil {
		return nil, err
	}
	if address = cmp.Or(address, localURL(cfg.API.Listen)); address != "" {
		if _, ok := httpURL.read(address); !ok {
			return nil, models.Errorf(models.Invalid, "--url must be %s", httpURL.right).On("--url")
		}
	}
	key, err := adminKey(cmd, cfg, address)
	if err != nil {
		return nil, err
	}
	return &server{
		url: strings.TrimRight(address, "/"), key: key, tick: nextLook,
		http: &http.Client{
			Timeout: time.Minute,
			// Another address would be sent our key.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// localURL is how this machine reaches what listens on address.
func localURL(address string) string {
	host, port, _ := net.SplitHostPort(address) // it was judged when it was read
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// adminKey finds the key; that of `litemaas dev` is sent to this machine only.
func adminKey(cmd *cobra.Command, cfg config, address string) (models.Secret, error) {
	flag, err := cmd.Flags().GetString("admin-key")
	if err != nil {
		return models.Secret{}, err
	}
	if key := cmp.Or(flag, os.Getenv(adminKeyEnv)); key != "" {
		return models.SecretOf(strings.TrimSpace(key)), nil
	}
	if len(cfg.API.AdminKeys) > 0 {
		return cfg.API.AdminKeys[0], nil
	}
	if isLocal(address) {
		if raw, err := os.ReadFile(devAdminKey); err == nil {
			return models.SecretOf(strings.TrimSpace(string(raw))), nil
		}
	}
	return models.Secret{}, models.Errorf(models.Invalid, "no admin key: set %s, --admin-key or api.admin_keys (ADMIN_API_KEYS)", adminKeyEnv).On("--admin-key")
}

func isLocal(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func nextLook(ctx context.Context, looks int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(firstLook*time.Duration(looks), lookEvery)):
		return nil
	}
}

// startSync starts a sync, or joins the one that is under way, and returns the run's ID.
func (s *server) startSync(ctx context.Context, o models.SyncOptions) (string, error) {
	body := map[string]any{"dryRun": o.DryRun, "forceUpdate": o.Force, "markUnavailable": !o.KeepMissing}
	var out struct {
		RunID string `json:"runId"`
	}
	err := s.call(ctx, http.MethodPost, "/models/sync", body, &out)
	if err == nil && out.RunID == "" {
		err = models.Errorf(models.Unavailable, "%s does not say which run it started: is it this version of LiteMaaS?", s.url)
	}
	return out.RunID, err
}

// run returns a run with the first differences it found.
func (s *server) run(ctx context.Context, id string) (out syncRun, err error) {
	return out, s.call(ctx, http.MethodGet, "/sync/runs/"+url.PathEscape(id)+fmt.Sprintf("?limit=%d", mostDifferences), nil, &out)
}

// runs returns the last runs, the newest first.
func (s *server) runs(ctx context.Context) ([]syncRun, error) {
	var out struct {
		Data []syncRun `json:"data"`
	}
	return out.Data, s.call(ctx, http.MethodGet, "/sync/runs?limit=20", nil, &out)
}

// asking returns the ID of the newest run that asks with the proposal; "" if it is forgotten.
func (s *server) asking(ctx context.Context, p proposal) (string, error) {
	runs, err := s.runs(ctx)
	i := slices.IndexFunc(runs, func(r syncRun) bool { return r.Kind == models.SyncFull && r.ProposalID == p.ID })
	if i < 0 {
		return "", err
	}
	return runs[i].ID, nil
}

// decide answers the question of a run, and returns what came of it in words.
func (s *server) decide(ctx context.Context, id, decision, reason string) (string, error) {
	var out struct {
		Message string `json:"message"`
	}
	body := map[string]string{"decision": decision, "reason": reason}
	err := s.call(ctx, http.MethodPost, "/sync/runs/"+url.PathEscape(id)+"/decision", body, &out)
	return plain(out.Message), err
}

func (s *server) health(ctx context.Context) (out syncHealth, err error) {
	return out, s.call(ctx, http.MethodGet, "/sync/health", nil, &out)
}

// follow looks at a run until it is done, and tells p what it sees.
func (s *server) follow(ctx context.Context, id string, p *progress) (syncRun, error) {
	defer p.end()
	for looks, lost := 1, 0; ; looks++ {
		run, err := s.run(ctx, id)
		switch {
		case err == nil && run.Status != models.SyncRunning:
			return run, nil
		case err == nil:
			lost = 0
			p.step(run.step())
		case models.KindOf(err) == models.NotFound: // a worker has not begun it yet
			p.step("waiting for a worker to begin")
		case models.KindOf(err) == models.Unavailable && lost < looksLost && ctx.Err() == nil:
			lost++
			p.step("waiting for the server to answer again")
		default:
			return run, err
		}
		if err := s.tick(ctx, looks); err != nil {
			return run, err
		}
	}
}

// call sends a request to the API and decodes its answer.
func (s *server) call(ctx context.Context, method, to string, body, out any) error {
	var raw io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		raw = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v1"+to, raw)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.key.Reveal())
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "respond-async")
	}
	res, err := s.http.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return models.Wrap(models.Unavailable, err, "no server answers at %s: start `litemaas serve` or `litemaas dev`, or say by --url where it is", s.url)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return models.Wrap(models.Unavailable, err, "%s did not answer to the end", s.url)
	}
	if res.StatusCode >= 300 {
		return s.refusal(res.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return models.Errorf(models.Unavailable, "what answers at %s is not LiteMaaS: say by --url where it is", s.url)
	}
	return nil
}

// refusal is an answer that is none, in the server's words.
func (s *server) refusal(status int, answer []byte) error {
	var body struct {
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(answer, &body) // a proxy in between may answer in HTML
	said := cmp.Or(plain(body.Detail), http.StatusText(status))
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return models.Errorf(models.Forbidden, "%s does not take the admin key: %s", s.url, said)
	case status == http.StatusNotFound:
		return models.Errorf(models.NotFound, "%s: %s", s.url, said)
	case status == http.StatusConflict:
		return models.Errorf(models.Conflict, "%s", said)
	case status >= 500:
		return models.Errorf(models.Unavailable, "%s answers %d: %s", s.url, status, said)
	}
	return models.Errorf(models.Invalid, "%s answers %d: %s", s.url, status, said)
}
