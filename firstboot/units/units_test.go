package units

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestVerify lets systemd judge the units.
func TestVerify(t *testing.T) {
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("needs systemd-analyze")
		}
		t.Skip("needs systemd-analyze")
	}
	dir := t.TempDir()
	services, err := fs.Glob(Files, "*.service")
	if err != nil || len(services) != 4 {
		t.Fatalf("%v, %v", services, err)
	}
	paths, err := fs.Glob(Files, "*.path")
	if err != nil || len(paths) != 2 {
		t.Fatalf("%v, %v", paths, err)
	}
	files := append(services, paths...)
	args := []string{"verify", "--man=no"}
	for _, f := range files {
		data, err := Files.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// The programs need not be here; that they are named is enough.
		text := strings.NewReplacer("/usr/bin/cloudy-node", "/bin/true", "/usr/sbin/tincd", "/bin/true").Replace(string(data))
		file := filepath.Join(dir, f)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// bookworm's systemd is older than these (254, 256).
		if strings.Contains(line, dir) && !strings.Contains(line, "WantsMountsFor") && !strings.Contains(line, "RestartSteps") && !strings.Contains(line, "RestartMaxDelaySec") {
			t.Errorf("%s", strings.TrimSpace(line))
		}
	}
	if len(out) == 0 && err != nil {
		t.Error(err)
	}
}

// TestSecurity lets systemd judge how much the units may do: 0 is nothing, 10
// everything. Those that run for long may do little.
func TestSecurity(t *testing.T) {
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("needs systemd-analyze")
		}
		t.Skip("needs systemd-analyze")
	}
	dir := t.TempDir()
	for unit, limit := range map[string]float64{
		"cloudy-node.service": 2.5, "cloudy-mesh.service": 3, "cloudy-identity.service": 4, "cloudy-wish.service": 4,
	} {
		data, err := Files.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, unit)
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(path, "security", "--offline=true", file).CombinedOutput()
		_, text, ok := strings.Cut(string(out), "Overall exposure level for "+unit+": ")
		if !ok {
			t.Skipf("systemd-analyze does not judge files: %v: %s", err, out) // before 250
		}
		level, err := strconv.ParseFloat(strings.Fields(text)[0], 64)
		if err != nil || level > limit {
			t.Errorf("%s: exposure %v, %v; want at most %v", unit, level, err, limit)
		}
		t.Logf("%-24s %.1f", unit, level)
	}
}

// TestDocumented: the manual that a unit of ours names is there.
func TestDocumented(t *testing.T) {
	entries, err := Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := Files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			page, ok := strings.CutPrefix(strings.TrimSpace(line), "Documentation=man:cloudy")
			if !ok {
				continue
			}
			name, section, _ := strings.Cut(strings.TrimSuffix(page, ")"), "(")
			if _, err := Files.ReadFile("cloudy" + name + "." + section); err != nil {
				t.Errorf("%s: %v", e.Name(), err)
			}
		}
	}
}
