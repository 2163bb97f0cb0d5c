package resolve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloudy/builder/deb"
	"cloudy/builder/xz"
)

// missing skips a test for what this machine lacks, or fails it where
// everything is required.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// indexes are the packages of trixie main, amd64 before i386, read once.
var indexes = sync.OnceValues(func() ([]*deb.Package, error) {
	mirror, err := hostMirror()
	if err != nil {
		return nil, err
	}
	var all []*deb.Package
	for _, arch := range []string{"amd64", "i386"} {
		data, err := fetchIndex(mirror, arch)
		if err != nil {
			return nil, err
		}
		err = deb.ParseIndex(data, func(p *deb.Package) error {
			p.Suite = "trixie"
			all = append(all, p)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
})

// trixie returns the packages of trixie, or skips the test.
func trixie(t testing.TB) []*deb.Package {
	t.Helper()
	if testing.Short() {
		t.Skip("reads the archive")
	}
	all, err := indexes()
	if err != nil {
		missing(t, "needs Debian's archive: %v", err)
	}
	return all
}

// hostMirror is the Debian mirror that this machine's apt uses.
func hostMirror() (string, error) {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian").Output()
	if err != nil {
		return "", fmt.Errorf("apt-get indextargets: %w", err)
	}
	for _, uri := range strings.Fields(string(out)) {
		if strings.HasPrefix(uri, "http") {
			return strings.TrimSuffix(uri, "/"), nil
		}
	}
	return "", errors.New("apt knows no mirror of Debian")
}

// fetchIndex downloads an index once a day. Both sides read the same file, so
// nothing here depends on its being genuine.
func fetchIndex(mirror, arch string) ([]byte, error) {
	cache := filepath.Join(os.TempDir(), fmt.Sprintf("cloudy-test-%d", os.Getuid()), "trixie-"+arch+".xz")
	if st, err := os.Stat(cache); err != nil || time.Since(st.ModTime()) > 24*time.Hour {
		resp, err := http.Get(mirror + "/dists/trixie/main/binary-" + arch + "/Packages.xz")
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("index of trixie: %s", resp.Status)
		}
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Dir(cache), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(cache+".part", data, 0o644); err != nil {
			return nil, err
		}
		if err := os.Rename(cache+".part", cache); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(cache)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := xz.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func universe(packages []*deb.Package) *Universe {
	u := NewUniverse("amd64", "i386")
	for _, p := range packages {
		u.Add(p, 500)
	}
	return u
}

// apt is a real apt with an archive of given packages and an empty system.
type apt struct{ dir string }

// newApt makes the archive; suites are those of the packages.
func newApt(t testing.TB, packages []*deb.Package) *apt {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		missing(t, "needs apt-get")
	}
	a := &apt{t.TempDir()}
	for _, d := range []string{"etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d", "state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	indexes := map[string]map[string]*bytes.Buffer{}
	var suites []string
	for _, p := range packages {
		arch := p.Architecture
		if arch == "all" {
			arch = "amd64"
		}
		if indexes[p.Suite] == nil {
			indexes[p.Suite] = map[string]*bytes.Buffer{"amd64": {}, "i386": {}}
			suites = append(suites, p.Suite)
		}
		writeStanza(indexes[p.Suite][arch], p)
	}
	sources := ""
	for _, suite := range suites {
		release := fmt.Sprintf("Suite: %s\nCodename: %s\nDate: Sat, 09 Aug 2025 09:00:00 UTC\nArchitectures: amd64 i386\nComponents: main\n", suite, suite)
		switch suite { // as Debian marks them
		case "backports":
			release += "NotAutomatic: yes\nButAutomaticUpgrades: yes\n"
		case "experimental":
			release += "NotAutomatic: yes\n"
		}
		release += "SHA256:\n"
		for _, arch := range []string{"amd64", "i386"} {
			data := indexes[suite][arch].Bytes()
			name := "main/binary-" + arch + "/Packages"
			a.write(t, filepath.Join("repo/dists", suite, name), data)
			release += fmt.Sprintf(" %x %d %s\n", sha256Sum(data), len(data), name)
		}
		a.write(t, filepath.Join("repo/dists", suite, "Release"), []byte(release))
		sources += fmt.Sprintf("deb [arch=amd64,i386 trusted=yes] copy:%s/repo %s main\n", a.dir, suite)
	}
	a.write(t, "etc/sources.list", []byte(sources))
	a.write(t, "status", nil)
	a.write(t, "apt.conf", fmt.Appendf(nil, `Dir "%s"; Dir::Etc "%[1]s/etc"; Dir::State "%[1]s/state"; Dir::Cache "%[1]s/cache"; Dir::State::status "%[1]s/status";
APT::Architecture "amd64"; APT::Architectures { "amd64"; "i386"; }; Acquire::Languages "none"; Debug::NoLocking "true"; APT::Sandbox::User "root";
APT::AutoRemove::SuggestsImportant "true"; APT::AutoRemove::RecommendsImportant "true"; Binary::apt-get::DPkg::Post-Invoke ""; APT::Update::Post-Invoke-Success ""; APT::Update::Post-Invoke "";
`, a.dir))
	if out, err := a.run("update", "-qq"); err != nil {
		t.Fatalf("apt-get update: %v\n%s", err, out)
	}
	return a
}

func (a *apt) write(t testing.TB, name string, data []byte) {
	t.Helper()
	name = filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (a *apt) run(args ...string) (string, error) {
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// install returns the packages that apt would install, as name_version_arch.
func (a *apt) install(req Request) ([]string, error) {
	args := []string{"install", "-y", "-qq", "--print-uris", "-o", fmt.Sprint("APT::Install-Recommends=", req.Recommends)}
	for _, w := range req.Install {
		args = append(args, w.String())
	}
	for _, d := range req.Drop {
		args = append(args, d+"-")
	}
	out, err := a.run(args...)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var ids []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "'") {
			id := strings.TrimSuffix(strings.Fields(line)[1], ".deb")
			ids = append(ids, strings.ReplaceAll(id, "%3a", ":"))
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// ids are the packages of a solution in the same form.
func (s *Solution) ids() []string {
	var ids []string
	for _, p := range s.Packages() {
		ids = append(ids, p.ID())
	}
	slices.Sort(ids)
	return ids
}

// compare runs both and returns what differs, or nothing.
func compare(t *testing.T, a *apt, u *Universe, req Request) (sol *Solution, diff string) {
	t.Helper()
	want, aptErr := a.install(req)
	sol, err := Resolve(context.Background(), u, req)
	switch {
	case aptErr != nil && err != nil:
		return nil, ""
	case aptErr != nil:
		return sol, "apt fails: " + aptErr.Error()
	case err != nil:
		return nil, fmt.Sprintf("apt installs %d packages, we fail: %v", len(want), err)
	}
	var b strings.Builder
	got := sol.ids()
	for _, id := range want {
		if _, found := slices.BinarySearch(got, id); !found {
			fmt.Fprintf(&b, " -%s", id)
		}
	}
	for _, c := range sol.Choices {
		if _, found := slices.BinarySearch(want, c.Package.ID()); !found {
			fmt.Fprintf(&b, " +%s (%s %s: %s)", c.Package.ID(), c.Why.Kind, c.Why.By, c.Why.Relation)
		}
	}
	return sol, b.String()
}

// writeStanza writes what the resolver knows of a package.
func writeStanza(b *bytes.Buffer, p *deb.Package) {
	for _, f := range [...]deb.Field{
		{Name: "Package", Value: p.Name}, {Name: "Version", Value: p.Version}, {Name: "Architecture", Value: p.Architecture},
		{Name: "Multi-Arch", Value: p.MultiArch}, {Name: "Source", Value: p.Source}, {Name: "Section", Value: p.Section}, {Name: "Priority", Value: p.Priority},
		{Name: "Pre-Depends", Value: p.PreDepends}, {Name: "Depends", Value: p.Depends}, {Name: "Recommends", Value: p.Recommends},
		{Name: "Suggests", Value: p.Suggests}, {Name: "Enhances", Value: p.Enhances}, {Name: "Conflicts", Value: p.Conflicts},
		{Name: "Breaks", Value: p.Breaks}, {Name: "Replaces", Value: p.Replaces}, {Name: "Provides", Value: p.Provides},
	} {
		if f.Value != "" {
			fmt.Fprintf(b, "%s: %s\n", f.Name, f.Value)
		}
	}
	if p.Essential {
		b.WriteString("Essential: yes\n")
	}
	if p.Protected {
		b.WriteString("Protected: yes\n")
	}
	sum := p.SHA256
	if sum == "" {
		sum = fmt.Sprintf("%x", sha256Sum([]byte(p.ID()+p.Suite)))
	}
	fmt.Fprintf(b, "Filename: pool/%s.deb\nSize: %d\nSHA256: %s\n\n", p.ID(), max(p.Size, 1), sum)
}
