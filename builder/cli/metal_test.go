package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/fail"
	"cloudy/builder/qemu"
)

// metalRecipe is the built-in image for real machines, without the firmware
// that no virtual machine has a use for, and with a medium that installs by
// itself.
const metalRecipe = `
image "install" {
  from     = image.metal
  packages = ["-intel-microcode", "-amd64-microcode"]
  target "metal" {
    formats   = ["iso"]
    arguments = ["cloudy.install=auto", "cloudy.hostname=installed", "cloudy.after=poweroff"]
  }
}
`

// deadline is for a boot under load, not a measure of anything.
const deadline = 30 * time.Minute

// TestMetal installs from a CD by UEFI with Secure Boot on, and boots the disk
// as a USB stick by BIOS. The same medium as a stick, by BIOS, finds no disk to
// install to and becomes a live system. It takes minutes.
func TestMetal(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine three times")
	}
	dir := t.TempDir()
	if _, stderr, code := cloudy(t, dir, "init"); code != 0 {
		t.Fatalf("init: %s", stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "metal.hcl"), []byte(metalRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := cloudy(t, dir, "build", "--var", "firmware=[]", "install:metal")
	switch code {
	case 0:
	case fail.Network.ExitCode(), fail.Host.ExitCode():
		missing(t, "metal cannot be built here: "+stderr)
	default:
		t.Fatalf("build: exit status %d\n%s", code, stderr)
	}
	out := filepath.Join(dir, "out")

	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 3<<30); err != nil {
		t.Fatal(err)
	}
	t.Run("install", func(t *testing.T) {
		m, console := start(t, qemu.Config{
			Disk: filepath.Join(out, "install-amd64-metal.iso"), Format: "raw", Attach: qemu.CD, Firmware: qemu.SecureBoot,
			Drives: []qemu.Drive{{File: disk, Format: "raw"}},
		})
		if _, err := m.WaitFor(t.Context(), `CLOUDY-INSTALL (done|failed)[^\r\n]*[\r\n]`, deadline); err != nil {
			t.Fatal(err)
		}
		if err := m.Wait(t.Context()); err != nil { // it powers off
			t.Errorf("the machine's end: %v", err)
		}
		if !strings.Contains(console.String(), "CLOUDY-INSTALL done: /dev/vda") {
			t.Fatalf("not installed:\n%s", m.LastLines(30))
		}
	})
	t.Run("installed", func(t *testing.T) {
		m, console := start(t, qemu.Config{Disk: disk, Format: "raw", Attach: qemu.USB, Firmware: qemu.BIOS, Snapshot: true})
		if _, err := m.WaitFor(t.Context(), `CLOUDY-READY [^\r\n]*[\r\n]`, deadline); err != nil {
			t.Fatal(err)
		}
		m.Stop() // so that nothing writes to the console any more
		for _, want := range []string{"Hostname set to <installed>", "CLOUDY-BOOT bios", "CLOUDY-READY healthy"} {
			if !strings.Contains(console.String(), want) {
				t.Errorf("the console does not say %q:\n%s", want, m.LastLines(30))
			}
		}
	})
	t.Run("live", func(t *testing.T) {
		stdout, stderr, code := cloudy(t, dir, "check", "out/install-amd64-metal.iso", "--attach", "usb", "--firmware", "bios", "--host-qemu",
			"--timeout", deadline.String(), "--console", "live.log")
		t.Logf("%s%s", stdout, stderr)
		console, err := os.ReadFile(filepath.Join(dir, "live.log"))
		if code != 0 || err != nil || !strings.Contains(stdout, "healthy") || !strings.Contains(string(console), "CLOUDY-INSTALL failed") {
			t.Errorf("exit status %d, %v", code, err)
		}
	})
}

// start starts a machine of the host's QEMU, and collects what it says.
func start(t *testing.T, c qemu.Config) (*qemu.Machine, *bytes.Buffer) {
	t.Helper()
	var console bytes.Buffer
	c.Arch, c.SerialLog = "amd64", io.Writer(&console)
	if log := os.Getenv("CLOUDY_TEST_LOG"); log != "" {
		f, err := os.Create(filepath.Join(log, strings.ReplaceAll(t.Name(), "/", "-")+".log"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		c.SerialLog = io.MultiWriter(&console, f)
	}
	m, err := qemu.Start(t.Context(), c)
	if err != nil {
		if fail.KindOf(err) == fail.Host {
			missing(t, err.Error())
		}
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m, &console
}
