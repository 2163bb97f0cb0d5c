package identity

import (
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
)

// FuzzIdentityFile reads anything as the node's keys: they are whole, or
// refused and left alone.
func FuzzIdentityFile(f *testing.F) {
	files := Files{Root: f.TempDir(), State: state}
	if _, _, err := files.Ensure(context.Background(), nil); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(files.Root, state, identityFile)
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"seed":"","tinc_rsa":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := files.Load()
		if err != nil {
			return
		}
		sig := ed25519.Sign(id.Private(), data)
		if key := id.Key(); !ed25519.Verify(key.Public(), data, sig) || !id.Name().Valid() || len(id.RSAPublic()) == 0 || len(id.RSAPrivatePEM()) == 0 {
			t.Errorf("%s is %+v", data, id)
		}
	})
}
