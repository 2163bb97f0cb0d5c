package report

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInspectDevice: a card is inspected as the image that was written to it.
func TestInspectDevice(t *testing.T) {
	missing := t.Skip
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		missing = t.Fatal
	}
	if os.Getuid() != 0 {
		missing("loop devices need root")
	}
	image := filepath.Join(t.TempDir(), "swap")
	data := make([]byte, 1<<20)
	copy(data[4086:], "SWAPSPACE2")
	if err := os.WriteFile(image, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", image).CombinedOutput()
	if err != nil {
		missing("losetup: ", err, string(out))
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
	o := inspect(t, device)
	if o.Size != 1<<20 || o.DiskSize != 1<<20 || o.Filesystem == nil || o.Filesystem.Type != "swap" {
		t.Errorf("%+v", o.Image)
	}
}
