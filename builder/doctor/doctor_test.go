package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

func find(t *testing.T, list []Finding, name string) Finding {
	t.Helper()
	for _, f := range list {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", name, list)
	return Finding{}
}

func TestCheckHere(t *testing.T) {
	dir := t.TempDir()
	list := Check(t.Context(), Options{CacheDir: filepath.Join(dir, "not/yet"), OutputDir: dir})
	for _, f := range list {
		t.Logf("%-22s %-4s %s %s", f.Name, f.Level, f.Detail, f.Fix)
		if f.Name == "" || f.Detail == "" || f.Level != OK && f.Level != Warn && f.Level != Fail {
			t.Errorf("incomplete: %+v", f)
		}
	}
	for _, name := range []string{"way to build", "cache folder", "cache disk space", "memory", "clock", "KVM"} {
		find(t, list, name)
	}
	if os.Geteuid() == 0 {
		if f := find(t, list, "way to build"); f.Level == Fail {
			t.Errorf("root cannot build: %+v", f)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

func TestFromReport(t *testing.T) {
	lacking := fail.WithHint(fail.Host, errors.New("user ann has no subordinate ids"), "usermod")
	tests := []struct {
		name     string
		r        sandbox.Report
		handlers []string
		finding  string
		level    Level
		detail   string
	}{
		{"root", sandbox.Report{Mode: sandbox.ModeRoot}, nil, "way to build", OK, "as root"},
		{"user", sandbox.Report{Mode: sandbox.ModeUserNS, NeedSubIDs: true}, nil, "way to build", OK, "ordinary user"},
		{"container", sandbox.Report{Mode: sandbox.ModePlain, Err: lacking}, nil, "way to build", Warn, "chroot"},
		{"nothing", sandbox.Report{Err: lacking}, nil, "way to build", Fail, "no subordinate"},
		{"subuid", sandbox.Report{NeedSubIDs: true, SubUIDErr: lacking}, nil, "subordinate user ids", Fail, "no subordinate"},
		{"subgid", sandbox.Report{NeedSubIDs: true, SubGIDs: []sandbox.IDRange{{Outside: 100000, Count: 65536}}}, nil, "subordinate group ids", OK, "65536 from 100000"},
		{"helper", sandbox.Report{NeedSubIDs: true}, nil, "newuidmap", Fail, "not found"},
		{"overlay", sandbox.Report{Mode: sandbox.ModeUserNS, Overlay: errors.New("refused")}, nil, "overlayfs", Warn, "refused"},
		{"foreign", sandbox.Report{Mode: sandbox.ModeRoot, BinfmtMisc: errors.New("old")}, []string{"aarch64"}, "other architectures", OK, "aarch64"},
		{"no foreign", sandbox.Report{Mode: sandbox.ModeRoot, BinfmtMisc: errors.New("old")}, nil, "other architectures", Warn, "old"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := find(t, fromReport(tt.r, tt.handlers), tt.finding)
			if f.Level != tt.level || !strings.Contains(f.Detail, tt.detail) {
				t.Errorf("%+v", f)
			}
			if f.Level != OK && f.Fix == "" {
				t.Errorf("no way out: %+v", f)
			}
		})
	}
}

func TestForeignHandlers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"qemu-aarch64": "enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: PF\n",
		"qemu-arm":     "enabled\ninterpreter /usr/bin/qemu-arm\nflags: P\n", // would need the emulator inside the root
		"qemu-ppc64le": "disabled\nflags: F\n",
		"python3.13":   "enabled\nflags: F\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(foreignHandlers(dir), " "); got != "aarch64" {
		t.Errorf("got %q", got)
	}
}

func TestSpace(t *testing.T) {
	tests := []struct {
		free, inodes, freeInodes uint64
		want                     Level
	}{
		{50 * gib, 1e6, 1e6, OK},
		{50 * gib, 0, 0, OK}, // btrfs does not count inodes
		{50 * gib, 1e6, 1000, Warn},
		{5 * gib, 1e6, 1e6, Warn},
		{1 * gib, 1e6, 1e6, Fail},
	}
	for _, tt := range tests {
		if f := spaceFinding("x", "/", tt.free, tt.inodes, tt.freeInodes); f.Level != tt.want || f.Level != OK && f.Fix == "" {
			t.Errorf("%+v: %+v", tt, f)
		}
	}
	if f := checkSpace("x", "/proc/self/nonsuch"); f.Level == OK {
		t.Errorf("proc has room: %+v", f)
	}
}

func TestDirs(t *testing.T) {
	if list := checkDir("cache folder", t.TempDir()); Worst(list) == Fail {
		t.Errorf("%+v", list)
	}
	if list := checkDir("cache folder", "/proc/cloudy"); Worst(list) != Fail {
		t.Errorf("%+v", list)
	}
}

func TestMemory(t *testing.T) {
	for text, want := range map[string]Level{
		"MemTotal: 9 kB\nMemAvailable:    8000000 kB\n": OK,
		"MemAvailable:     500000 kB\n":                 Warn,
		"MemTotal:     500000 kB\n":                     Warn,
	} {
		if f := memoryFinding(strings.NewReader(text)); f.Level != want {
			t.Errorf("%q: %+v", text, f)
		}
	}
}

func TestClock(t *testing.T) {
	if f := checkClock(time.Unix(0, 0)); f.Level != Fail {
		t.Errorf("%+v", f)
	}
	if f := checkClock(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)); f.Level != OK {
		t.Errorf("%+v", f)
	}
}
