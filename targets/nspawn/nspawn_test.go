package nspawn

import (
	"slices"
	"testing"

	"cloudy/targets/internal/targettest"
)

func TestBuild(t *testing.T) {
	out := targettest.Build(t, Target{}, targettest.Debian(nil), nil)
	archive := out["node-amd64-x.tar.gz"]
	names := targettest.Names(t, archive)
	for name, want := range map[string]bool{"./": true, "./etc/machine-id": true, "./dev/": true, "./dev/null": false, "./etc/hostname": false, "./boot/vmlinuz-6": false} {
		if slices.Contains(names, name) != want {
			t.Errorf("%s in the tarball: %v", name, !want)
		}
	}
	if out["node-amd64-x.nspawn"] == "" {
		t.Error("no settings")
	}
}

func TestMistakes(t *testing.T) {
	targettest.Refused(t, Target{}, targettest.Debian(nil), Options{Compress: "lzma"}, "lzma")
	targettest.Cancelled(t, Target{}, targettest.Debian(nil), nil)
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, targettest.Debian(nil), nil)
}
