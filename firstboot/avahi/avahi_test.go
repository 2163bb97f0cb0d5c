package avahi

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestInstance(t *testing.T) {
	for _, tt := range [][3]string{
		{"wiki", "node", "wiki on node"},
		{strings.Repeat("é", 40), "node", strings.Repeat("é", 27) + " on node"}, // 54 and 8 bytes, for é has two
		{"wiki", strings.Repeat("n", 63), strings.Repeat("n", 63)},
	} {
		if got := instance(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%q", got)
		}
	}
}

// FuzzInstance: whatever members call their services and hosts, Avahi takes it
// as a label.
func FuzzInstance(f *testing.F) {
	f.Add("wiki", "node")
	f.Add(strings.Repeat("é", 80), strings.Repeat("n", 61))
	f.Fuzz(func(t *testing.T, name, host string) {
		if !utf8.ValidString(name) || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(host) > 63 {
			return // no service and no host is called that
		}
		if got := instance(name, host); got == "" || len(got) > 63 || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
	})
}
