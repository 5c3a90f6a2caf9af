package keyset

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/litemaas/litemaas/models"
)

// vault is a key of the transit engine of HashiCorp Vault, or of OpenBao. The environment says the
// rest, as it does to Vault's own command line: VAULT_TOKEN, VAULT_CACERT, VAULT_NAMESPACE; and
// VAULT_ADDR where Vault is not reached at the host of the URI, by HTTPS.
func vault(uri, role string) (kmsClient, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return kmsClient{}, err
	}
	conf := api.DefaultConfig()
	if os.Getenv(api.EnvVaultAddress) == "" {
		conf.Address = "https://" + u.Host
	}
	conf.Timeout = min(conf.Timeout, answerWithin)
	client, err := api.NewClient(conf)
	if err != nil {
		return kmsClient{}, err
	}
	kms, err := hcvault.NewClientWithAEADOptions(uri, client.Logical())
	if err != nil {
		return kmsClient{}, err
	}
	key, err := kms.GetAEAD(uri)
	if role != "" && client.Token() == "" {
		key = &signedIn{AEAD: key, signIn: sync.OnceValue(func() error { return signIn(client, role) })}
	}
	mount, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/keys/")
	return kmsClient{
		key: key, judge: judgeVault,
		rights: "see that VAULT_TOKEN, or secrets.vault_role, is good, and has the capability update on " + mount + "/encrypt/" + name + " and " + mount + "/decrypt/" + name,
	}, err
}

func judgeVault(err error) models.Kind {
	answer, ok := errors.AsType[*api.ResponseError](err)
	switch {
	case ok && strings.Contains(err.Error(), "message authentication failed"):
		return models.Invalid // some versions of Vault say 500 to that
	case !ok || answer.StatusCode >= http.StatusInternalServerError, answer.StatusCode == http.StatusTooManyRequests:
		return models.Unavailable
	case answer.StatusCode == http.StatusForbidden:
		return models.Forbidden
	}
	return models.Invalid
}

// signedIn is a key for which one has to sign in first.
type signedIn struct {
	tink.AEAD
	signIn func() error
}

func (s *signedIn) Encrypt(plain, associated []byte) ([]byte, error) {
	if err := s.signIn(); err != nil {
		return nil, err
	}
	return s.AEAD.Encrypt(plain, associated)
}

func (s *signedIn) Decrypt(sealed, associated []byte) ([]byte, error) {
	if err := s.signIn(); err != nil {
		return nil, err
	}
	return s.AEAD.Decrypt(sealed, associated)
}

// serviceAccount is where Kubernetes puts the token of a pod.
var serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// signIn signs in to Vault as the pod that we are. The role may be written with the path of its
// auth method, as in openshift/litemaas; else that is kubernetes.
func signIn(client *api.Client, role string) error {
	pod, err := os.ReadFile(serviceAccount)
	if err != nil {
		return models.Wrap(models.Invalid, err, "secrets.vault_role is for pods, which have a service account; elsewhere set VAULT_TOKEN")
	}
	method := "kubernetes"
	if i := strings.LastIndex(role, "/"); i >= 0 {
		method, role = role[:i], role[i+1:]
	}
	answer, err := client.Logical().Write("auth/"+method+"/login", map[string]any{"role": role, "jwt": strings.TrimSpace(string(pod))})
	if err != nil && judgeVault(err) != models.Unavailable {
		return models.Wrap(models.Forbidden, err, "Vault does not take us for the role of secrets.vault_role")
	}
	if err != nil {
		return err
	}
	token, err := answer.TokenID()
	if err != nil || token == "" {
		return models.Errorf(models.Invalid, "Vault's auth/%s gives no token: see secrets.vault_role", method)
	}
	client.SetToken(token)
	return nil
}
