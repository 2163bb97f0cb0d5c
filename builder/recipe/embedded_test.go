package recipe

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestEmbedded proves that the built-in recipes have no mistake.
func TestEmbedded(t *testing.T) {
	m, diags := Load(t.Context(), Embedded(), Options{})
	var b strings.Builder
	m.Render(&b, diags, false)
	if len(diags) > 0 {
		t.Fatal(b.String())
	}
	for _, name := range m.Images() {
		for _, arch := range m.Architectures(name) {
			img, diags := m.Image(name, arch)
			if diags.HasErrors() {
				t.Fatal(m.Err(diags))
			}
			out, err := json.MarshalIndent(img, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			if os.Getenv("SHOW") != "" {
				t.Logf("%s", out)
			}
		}
	}
}
