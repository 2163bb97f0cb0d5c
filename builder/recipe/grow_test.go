package recipe

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// need skips the test without a tool, or fails when all must run.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// TestRepart lets systemd-repart itself grow the last partition of a disk.
func TestRepart(t *testing.T) {
	need(t, "systemd-repart", "sgdisk")
	if runtime.GOARCH != "amd64" {
		t.Skip("Type=root is the type of the architecture that runs systemd-repart")
	}
	rootType := "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" // root (x86-64)
	for _, c := range []struct {
		name     string
		grow     Grow
		atLeast  int // MiB
		lessThan int
	}{
		{"whole disk", Grow{Enabled: true}, 440, 512},
		{"limit", Grow{Enabled: true, Limit: 256 << 20}, 250, 257},
		{"never", Grow{}, 99, 101},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			disk, defs := filepath.Join(dir, "disk"), filepath.Join(dir, "repart.d")
			run := func(name string, args ...string) string {
				out, err := exec.Command(name, args...).CombinedOutput()
				if err != nil {
					t.Fatalf("%s %v: %v\n%s", name, args, err, out)
				}
				return string(out)
			}
			if err := os.WriteFile(disk, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(disk, 160<<20); err != nil {
				t.Fatal(err)
			}
			run("sgdisk", "-n", "14:2048:+1M", "-t", "14:ef02", "-n", "15:0:+32M", "-t", "15:ef00", "-n", "1:0:+100M", "-t", "1:"+rootType, disk)
			if err := os.Truncate(disk, 512<<20); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(defs, 0o755); err != nil {
				t.Fatal(err)
			}
			if conf := c.grow.RepartConf(); conf != "" {
				if err := os.WriteFile(filepath.Join(defs, filepath.Base(RepartPath)), []byte(conf), 0o644); err != nil {
					t.Fatal(err)
				}
				run("systemd-repart", "--dry-run=no", "--definitions="+defs, disk)
				run("sgdisk", "-v", disk)
			}
			size := 0
			for line := range strings.SplitSeq(run("sgdisk", "-i", "1", disk), "\n") {
				if f := strings.Fields(line); len(f) > 3 && f[0] == "Partition" && f[1] == "size:" {
					for _, d := range f[2] {
						size = size*10 + int(d-'0')
					}
				}
			}
			if size /= 2048; size < c.atLeast || size >= c.lessThan {
				t.Errorf("root has %d MiB, want %d to %d", size, c.atLeast, c.lessThan)
			}
		})
	}
}
