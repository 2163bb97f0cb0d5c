package plan

import (
	"context"
	"strings"
	"testing"

	"cloudy/builder/archive/archivetest"
	"cloudy/builder/fail"
)

func TestPin(t *testing.T) {
	w := newWorld(t, debian())
	ctx := context.Background()
	img, inputs := w.image("recommends = true\n  packages = [\"squid\"]")
	l, err := w.e.Pin(ctx, img, inputs, PinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(l), "+libc6 +mawk +base-files libapt apt ca-certs squid-common squid tzdata"; !sameSet(got, want) || !strings.HasPrefix(got, "+libc6 +mawk +base-files ") {
		t.Errorf("%s, want %s", got, want)
	}
	if l.Epoch != archivetest.Date.Unix() || len(l.Archives) != 1 || l.Archives[0].Suite != "trixie" || l.Archives[0].Date != "2026-01-03T12:00:00Z" {
		t.Errorf("epoch %d, archives %+v", l.Epoch, l.Archives)
	}
	for name, want := range map[string]string{"base-files": "essential", "squid": "wanted", "squid-common": "depends of squid", "ca-certs": "recommends of squid"} {
		p := l.Find(name)
		if p == nil {
			t.Fatalf("no %s", name)
		}
		if p.Why != want || p.Size == 0 || len(p.SHA256) != 64 || p.Archive != "test" || !strings.HasPrefix(p.File, "pool/main/") || p.Auto != (p.Why != "wanted" && p.Why != "essential") {
			t.Errorf("%s: %+v, want it for %q", name, p, want)
		}
	}
	// The same again is the same; what the recipe adds comes on top.
	again, err := w.e.Pin(ctx, img, inputs, PinOptions{Old: l})
	if err != nil || names(again) != names(l) {
		t.Errorf("%s %v", names(again), err)
	}
	more, moreInputs := w.image("recommends = true\n  packages = [\"squid\", \"tinc\"]")
	longer, err := w.e.Pin(ctx, more, moreInputs, PinOptions{Old: l})
	if err != nil || names(longer) != names(l)+" tinc#1" {
		t.Errorf("%s %v", names(longer), err)
	}
	if got := strings.Join(Drift(l, moreInputs), ", "); got != "packages has changed" {
		t.Errorf("drift: %q", got)
	}
	cosmetic, cosmeticInputs := w.image("recommends = true\n  packages = [\"squid\"]\n  hostname = \"other\"")
	if d := Drift(l, cosmeticInputs); len(d) != 0 {
		t.Errorf("drift by the host name: %q %v", d, cosmetic.Hostname)
	}
}

func sameSet(a, b string) bool {
	x, y := map[string]bool{}, map[string]bool{}
	for _, f := range strings.Fields(a) {
		x[f] = true
	}
	for _, f := range strings.Fields(b) {
		y[f] = true
		if !x[f] {
			return false
		}
	}
	return len(x) == len(y)
}

func TestPinVariants(t *testing.T) {
	w := newWorld(t, debian())
	for lines, want := range map[string]string{
		`variant = "essential"`:  "+libc6 +mawk +base-files",
		`packages = ["-tzdata"]`: "+libc6 +mawk +base-files libapt apt",
		"recommends = false\n  packages = [\"squid\", \"-tzdata\"]":               "+libc6 +mawk +base-files libapt apt squid-common squid",
		"recommends = true\n  packages = [\"squid\", \"-ca-certs\", \"-tzdata\"]": "+libc6 +mawk +base-files libapt apt squid-common squid",
	} {
		img, inputs := w.image(lines)
		l, err := w.e.Pin(context.Background(), img, inputs, PinOptions{})
		if err != nil {
			t.Errorf("%s: %v", lines, err)
			continue
		}
		if got := names(l); !sameSet(got, want) {
			t.Errorf("%s: %s, want %s", lines, got, want)
		}
	}
	img, inputs := w.image("packages = [\n    \"squid\",\n    \"no-such-package\",\n  ]")
	_, err := w.e.Pin(context.Background(), img, inputs, PinOptions{})
	if err == nil || !strings.Contains(err.Error(), "no-such-package") || !strings.Contains(err.Error(), "main.hcl:") || fail.KindOf(err) != fail.User {
		t.Errorf("unknown package: %v (%d)", err, fail.KindOf(err))
	}
}

func TestFresh(t *testing.T) {
	w := newWorld(t, debian())
	ctx := context.Background()
	img, inputs := w.image("recommends = true\n  packages = [\"squid\"]")
	first, err := w.e.Fresh(ctx, img, inputs)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.e.Fresh(ctx, img, inputs)
	if err != nil || again.Digest() != first.Digest() {
		t.Errorf("a second time: %s %v", names(again), err)
	}
	img, inputs = w.image("recommends = true\n  packages = [\"squid\", \"tinc\"]")
	more, err := w.e.Fresh(ctx, img, inputs)
	if err != nil || names(more) != names(first)+" tinc#1" || more.Inputs["packages"] != inputs["packages"] {
		t.Errorf("one more: %s %v", names(more), err)
	}
	epoch := int64(1600000000)
	w.e.Epoch = &epoch
	if at, err := w.e.Fresh(ctx, img, inputs); err != nil || at.Epoch != epoch {
		t.Errorf("at a time of the caller's: %v", err)
	}
	w.e.Epoch = nil
	if at, err := w.e.Fresh(ctx, img, inputs); err != nil || at.Epoch != first.Epoch {
		t.Errorf("at none again: %v", err)
	}
	if more, err = w.e.Fresh(ctx, img, inputs); err != nil {
		t.Fatal(err)
	}
	w.e.Offline = true
	w.srv.Requests("")
	off, err := w.e.Fresh(ctx, img, inputs)
	if err != nil || off.Digest() != more.Digest() {
		t.Errorf("offline: %v", err)
	}
	if asked := w.srv.Requests(""); len(asked) != 0 {
		t.Errorf("offline, but asked for %q", asked)
	}
	empty := newWorld(t, debian())
	empty.e.Offline = true
	img, inputs = empty.image(``)
	if _, err := empty.e.Fresh(ctx, img, inputs); fail.KindOf(err) != fail.Network {
		t.Errorf("offline with an empty store: %v", err)
	}
}
