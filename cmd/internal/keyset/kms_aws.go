package keyset

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/smithy-go"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/litemaas/litemaas/models"
)

// aws is a key of AWS KMS. Who we are there is found as by all of AWS's programs: in the
// environment, the files of its command line, or the role of the pod or the machine.
func aws(uri, _ string) (kmsClient, error) {
	kms, err := awskms.NewClientWithOptions(context.Background(), uri)
	if err != nil {
		return kmsClient{}, err
	}
	key, err := kms.GetAEAD(uri)
	if err != nil {
		return kmsClient{}, err
	}
	if within, ok := key.(tink.AEADWithContext); ok {
		key = bounded{within}
	}
	return kmsClient{key, judgeAWS, "see that the credentials of AWS are good, and allow kms:Encrypt and kms:Decrypt by that key"}, nil
}

// bounded is a key that answers in time, or not at all.
type bounded struct{ key tink.AEADWithContext }

func (b bounded) Encrypt(plain, associated []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	return b.key.EncryptWithContext(ctx, plain, associated)
}

func (b bounded) Decrypt(sealed, associated []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	return b.key.DecryptWithContext(ctx, sealed, associated)
}

// What AWS KMS answers to who may not, and when a key is not the right one, or of no use.
var (
	mayNotAWS = []string{"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "MissingAuthenticationTokenException", "InvalidClientTokenId"}
	noKeyAWS  = []string{"IncorrectKeyException", "InvalidCiphertextException", "NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException", "InvalidArnException", "ValidationException"}
)

func judgeAWS(err error) models.Kind {
	answer, ok := errors.AsType[smithy.APIError](err)
	switch {
	case ok && slices.Contains(mayNotAWS, answer.ErrorCode()):
		return models.Forbidden
	case ok && slices.Contains(noKeyAWS, answer.ErrorCode()):
		return models.Invalid
	}
	return models.Unavailable
}
