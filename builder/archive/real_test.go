package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/fetch"
	"cloudy/builder/store"
)

// skip skips, or fails where everything has to be there.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// realMirrors are those of the host's apt sources, without the defaults.
func realMirrors(t *testing.T) *Mirrors {
	t.Helper()
	m, err := FindMirrors(MirrorConfig{Env: os.Getenv("CLOUDY_MIRROR"), AptDir: "/etc/apt"})
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range m.byName {
		m.byName[name] = slices.DeleteFunc(list, func(m Mirror) bool { return m.Origin == "default" })
	}
	if len(m.byName["debian"]) == 0 || len(m.byName["debian-security"]) == 0 {
		skip(t, "the host's apt sources name no mirror of debian and debian-security")
	}
	return m
}

func realSources() []Source {
	return []Source{
		{Name: "debian", Suites: []string{"trixie", "trixie-updates"}, Components: []string{"main"}, Architectures: []string{"amd64"}},
		{Name: "debian-security", Suites: []string{"trixie-security"}, Components: []string{"main"}, Architectures: []string{"amd64"}},
	}
}

func cpuTime() time.Duration {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func TestRealArchive(t *testing.T) {
	m := realMirrors(t)
	dir := t.TempDir()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx := context.Background()
	count := 0
	for _, round := range []string{"cold", "warm", "offline"} {
		start, cpu := time.Now(), cpuTime()
		x, err := Update(ctx, st, realSources(), m, Options{Fetch: fetch.Config{Offline: round == "offline"}})
		if err != nil {
			if round == "cold" && fail.KindOf(err) == fail.Network && os.Getenv("CLOUDY_REQUIRE_ALL") == "" {
				t.Skipf("the mirror does not answer: %v", err)
			}
			t.Fatal(err)
		}
		mid, midCPU := time.Since(start), cpuTime()-cpu
		list, err := x.Packages(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: update %v (CPU %v), with %d packages loaded %v (CPU %v)", round, mid, midCPU, len(list), time.Since(start), cpuTime()-cpu)
		if len(list) < 60000 || (count > 0 && len(list) != count) {
			t.Errorf("%s: %d packages, %d before", round, len(list), count)
		}
		count = len(list)
		for _, s := range x.Suites {
			if s.Release.Origin != "Debian" || s.Release.Date.IsZero() || !s.Digest.Valid() || s.Signer == "" {
				t.Errorf("suite %s: %+v", s.Name, s)
			}
		}
		for _, p := range list {
			if p.Name == "bash" && len(x.URLs(p)) == 0 {
				t.Error("no URL for bash")
			}
		}
	}
	// What was decoded for the copy and what is loaded from it are the same.
	x, err := Update(ctx, st, realSources(), m, Options{Fetch: fetch.Config{Offline: true}})
	if err != nil {
		t.Fatal(err)
	}
	ix := x.Suites[0].indexes[0]
	fresh, err := decode(st, ix)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := readDecoded(st, ix)
	if err != nil || !bytes.Equal(strip(fresh), kept) {
		t.Errorf("the decoded copy differs: %v", err)
	}
}

// TestRealSignatures compares our verdict with gpgv's on true and tampered files.
func TestRealSignatures(t *testing.T) {
	m := realMirrors(t)
	gpgv, err := exec.LookPath("gpgv")
	if err != nil {
		skip(t, "no gpgv")
	}
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	data, err := DebianKeyring()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := ReadKeyring(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.gpg")
	os.WriteFile(keys, data, 0o644)
	verdict := func(file []byte) bool {
		name := filepath.Join(dir, "InRelease")
		os.WriteFile(name, file, 0o644)
		return exec.Command(gpgv, "--keyring", keys, name).Run() == nil
	}
	client := fetch.New(st, fetch.Config{})
	get := func(u string) []byte {
		resp, err := client.Get(context.Background(), fetch.Request{URL: u})
		if err != nil {
			skip(t, "the mirror does not answer: "+err.Error())
		}
		return resp.Data
	}
	for _, u := range []string{
		m.byName["debian"][0].URL + "/dists/trixie/InRelease",
		m.byName["debian"][0].URL + "/dists/bookworm/InRelease",
		m.byName["debian-security"][0].URL + "/dists/trixie-security/InRelease",
	} {
		file := get(u)
		_, signer, err := ring.verifyInline(file, time.Now())
		if err != nil || !verdict(file) {
			t.Errorf("%s: %v, gpgv says %t", u, err, verdict(file))
		}
		if !slices.Contains(ring.Fingerprints(), signer) {
			t.Errorf("%s: signer %q is not in the ring", u, signer)
		}
		sig := bytes.LastIndex(file, []byte("-----BEGIN PGP SIGNATURE-----"))
		for name, tampered := range map[string][]byte{
			"one digit":      bytes.Replace(file, []byte("SHA256:\n "), []byte("SHA256:\n 0"), 1),
			"one byte":       flip(file, sig/2),
			"signature":      flip(file, sig+200),
			"truncated":      file[:sig+300],
			"text dropped":   append(append([]byte{}, file[:60]...), file[200:]...),
			"line in middle": bytes.Replace(file, []byte("\nCodename:"), []byte("\nX: y\nCodename:"), 1),
		} {
			_, _, err := ring.verifyInline(tampered, time.Now())
			if !errors.Is(err, ErrSignature) || verdict(tampered) {
				t.Errorf("%s, %s: %v, gpgv says %t", u, name, err, verdict(tampered))
			}
		}
		// Stricter than gpgv on purpose: nothing may stand around the message.
		for name, tampered := range map[string][]byte{
			"text before": append([]byte("Suite: evil\n\n"), file...),
			"text after":  append(append([]byte{}, file...), "Suite: evil\n"...),
			"twice":       append(append([]byte{}, file...), file...),
		} {
			if _, _, err := ring.verifyInline(tampered, time.Now()); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %s: %v", u, name, err)
			}
		}
		for _, year := range []int{2001, 2070} {
			at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			if _, _, err := ring.verifyInline(file, at); !errors.Is(err, ErrSignature) {
				t.Errorf("%s in %d: %v", u, year, err)
			}
		}
	}
}

func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	for out[at] == '\n' || out[at] == '=' {
		at++
	}
	out[at] ^= 1
	return out
}
