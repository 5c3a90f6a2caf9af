package keyset

import "testing"

// AsPod has the token of a pod lie at that path.
func AsPod(t *testing.T, path string) {
	t.Helper()
	was := serviceAccount
	serviceAccount = path
	t.Cleanup(func() { serviceAccount = was })
}
