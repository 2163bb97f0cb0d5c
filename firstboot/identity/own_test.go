package identity

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// ownerAndMode are user, group and permissions of a file.
func ownerAndMode(t *testing.T, path string) [3]int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return [3]int{int(st.Uid), int(st.Gid), int(info.Mode().Perm())}
}

// TestOwn: root gives the daemon its folders, and nothing that a link or a
// second name in them leads to.
func TestOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	f := Files{Root: t.TempDir(), State: state}
	write := func(path string) string {
		path = f.path(path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(state + "/roster/nodes/x.json")
	shadow, passwords := write("etc/shadow"), write("etc/passwords")
	if err := f.Own("cloudy"); err != nil {
		t.Errorf("without the account: %v", err)
	}
	os.WriteFile(f.path("etc/passwd"), []byte("cloudy:x:12345:54321::/:/bin/false\n"), 0o644)
	for _, err := range []error{os.Symlink(shadow, f.path(state+"/link")), os.Link(passwords, f.path(state+"/name")), os.Symlink(f.path("etc"), f.path(state+"/folder"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Own("cloudy", "etc/tinc/cloudy"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{state, state + "/roster/nodes/x.json", "etc/tinc/cloudy"} {
		if got := ownerAndMode(t, f.path(path)); got[0] != 12345 || got[1] != 54321 {
			t.Errorf("%s is of %v", path, got)
		}
	}
	for _, path := range []string{shadow, passwords, f.path("etc"), f.path("etc/tinc")} {
		if got := ownerAndMode(t, path); got[0] != 0 || got[1] != 0 {
			t.Errorf("%s was given away: %v", path, got)
		}
	}
}
