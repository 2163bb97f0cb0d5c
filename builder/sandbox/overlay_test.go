package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// layersOf makes a stack of an upper directory over a layer over a root.
func layersOf(t *testing.T) Root {
	t.Helper()
	base := newRoot(t)
	dir := filepath.Join(t.TempDir(), "with,comma:and colon")
	for _, name := range []string{"layer/etc", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(base, "etc/below"), "base\n")
	write(t, filepath.Join(base, "etc/gone"), "base\n")
	write(t, filepath.Join(dir, "layer/etc/below"), "layer\n")
	return Root{Layers: []string{filepath.Join(dir, "layer"), base}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
}

func TestLayers(t *testing.T) {
	root := layersOf(t)
	before := snapshot(t, root.Layers[0]) + snapshot(t, root.Layers[1])
	for i := range 2 { // the same work directory twice
		s, err := box(t).Open(t.Context(), root, Options{})
		if box(t).Mode() == ModePlain {
			if !errors.Is(err, ErrNoOverlay) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		want := "layer\n1"
		if i == 1 {
			want = "layer\n0"
		}
		if got := sh(t, s, "cat /etc/below; ls /etc | grep -c gone || true; rm -f /etc/gone; chown 33 /etc/passwd; rm -r /var; mkdir /var; echo new >/var/new"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := snapshot(t, root.Layers[0]) + snapshot(t, root.Layers[1]); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	up := func(name string) string { return filepath.Join(root.Upper, name) }
	var st unix.Stat_t
	if err := unix.Lstat(up("etc/gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("no whiteout: %v %o", err, st.Mode)
	}
	if err := unix.Lstat(up("etc/passwd"), &st); err != nil || st.Uid != 33 {
		t.Errorf("owner: %v %d", err, st.Uid)
	}
	value := make([]byte, 8)
	if n, err := unix.Lgetxattr(up("var"), "user.overlay.opaque", value); err != nil || string(value[:n]) != "y" {
		t.Errorf("no opaque mark: %v", err)
	}
	if names, err := os.ReadDir(root.Work); err != nil || len(names) != 0 {
		t.Errorf("work directory: %v %v", names, err)
	}
	root.Upper, root.Work = "", ""
	s, err := box(t).Open(t.Context(), root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := sh(t, s, "cat /etc/gone; touch /x 2>/dev/null || echo read-only"); got != "base\nread-only" {
		t.Errorf("without upper: %q", got)
	}
}

func TestOverlay(t *testing.T) {
	root := layersOf(t)
	at := t.TempDir()
	unmount, err := box(t).Overlay(root.Layers, root.Upper, root.Work, at)
	if box(t).Mode() == ModePlain {
		if !errors.Is(err, ErrNoOverlay) {
			t.Fatalf("got %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(filepath.Join(at, "etc/below")); string(data) != "layer\n" {
		t.Errorf("got %q", data)
	}
	if os.Getenv(rootEnv) == "" { // as real root, process 1 sees what the host sees
		if host, err := os.ReadFile("/proc/1/mountinfo"); err == nil && strings.Contains(string(host), at) {
			t.Error("the host sees the mount")
		}
	}
	if err := unmount(); err != nil {
		t.Error(err)
	}
	if left := mountsBelow(t, at); len(left) > 0 {
		t.Errorf("mounts are left: %v", left)
	}
	// /proc cannot be anybody's upper directory.
	bad := Root{Layers: root.Layers, Upper: "/proc/self", Work: "/proc/self"}
	if s, err := box(t).Open(t.Context(), bad, Options{}); !errors.Is(err, ErrNoOverlay) {
		t.Errorf("got %v", err)
		if err == nil {
			s.Close()
		}
	}
	if err := probeOverlay(t.TempDir()); err != nil {
		t.Error(err)
	}
}
