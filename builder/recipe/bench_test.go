package recipe

import "testing"

// BenchmarkLoad loads the built-in recipes: every command pays for it.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, diags := Load(b.Context(), Embedded(), Options{}); diags.HasErrors() {
			b.Fatal(diags)
		}
	}
}
