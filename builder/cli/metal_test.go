package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
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
    formats   = ["iso", "raw.zst"]
    arguments = ["cloudy.install=auto", "cloudy.hostname=installed", "cloudy.after=poweroff"]
  }
}
`

// deadline is for a boot under load, not a measure of anything.
const deadline = 30 * time.Minute

// TestMetal installs from a CD by UEFI with Secure Boot on, and boots the disk
// as a USB stick by BIOS. The same medium as a stick, by BIOS, finds no disk to
// install to and becomes a live system. The disk image goes by "cloudy flash"
// to a larger card, which boots as a stick with Secure Boot on, and then by
// BIOS. It takes minutes; the three go side by side.
func TestMetal(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine five times")
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
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		testFlashed(t, filepath.Join(dir, "out", "install-amd64-metal.raw.zst"))
	})
	t.Run("install", func(t *testing.T) {
		t.Parallel()
		testInstall(t, filepath.Join(dir, "out", "install-amd64-metal.iso"))
	})
	t.Run("live", func(t *testing.T) {
		t.Parallel()
		stdout, stderr, code := cloudy(t, dir, "check", "out/install-amd64-metal.iso", "--attach", "usb", "--firmware", "bios", "--host-qemu", "--cpus", "1",
			"--timeout", deadline.String(), "--console", "live.log")
		t.Logf("%s%s", stdout, stderr)
		console, err := os.ReadFile(filepath.Join(dir, "live.log"))
		if code != 0 || err != nil || !strings.Contains(stdout, "healthy") || !strings.Contains(string(console), "CLOUDY-INSTALL failed") {
			t.Errorf("exit status %d, %v", code, err)
		}
	})
}

func testInstall(t *testing.T, iso string) {
	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 3<<30); err != nil {
		t.Fatal(err)
	}
	m, console := start(t, "install", qemu.Config{
		Disk: iso, Format: "raw", Attach: qemu.CD, Firmware: qemu.SecureBoot, Drives: []qemu.Drive{{File: disk, Format: "raw"}},
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

	m, console = start(t, "installed", qemu.Config{Disk: disk, Format: "raw", Attach: qemu.USB, Firmware: qemu.BIOS, Snapshot: true})
	if _, err := m.WaitFor(t.Context(), `CLOUDY-READY [^\r\n]*[\r\n]`, deadline); err != nil {
		t.Fatal(err)
	}
	m.Stop() // so that nothing writes to the console any more
	for _, want := range []string{"Hostname set to <installed>", "CLOUDY-BOOT bios", "CLOUDY-READY healthy"} {
		if !strings.Contains(console.String(), want) {
			t.Errorf("the console does not say %q:\n%s", want, m.LastLines(30))
		}
	}
}

// lookScript waits until the node has said how it is, says what it made of its
// seed and of the card, and powers off.
const lookScript = `
exec >/dev/console 2>&1
systemctl is-system-running --wait
while [ "$(systemctl show -P ActiveState cloudy-ready.service)" = active ]; do sleep 1; done
for n in 1 2; do echo; echo "CARD $(hostname) $(df -B1 --output=size / | tail -n 1) $(cat /root/.ssh/authorized_keys) end"; done
sync
systemctl poweroff
`

// lookUnit runs the script, which is a credential like itself.
const lookUnit = "[Service]\nType=exec\nLoadCredential=look.script\nExecStart=/bin/sh %d/look.script\n"

// testFlashed writes the packed image to a larger card with a seed, by its
// block map, and boots the card as a stick: the first time by UEFI with Secure
// Boot on, then by BIOS.
func testFlashed(t *testing.T, image string) {
	for _, p := range []string{"losetup", "sgdisk", "e2fsck", "mtype"} {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p+" is not installed")
		}
	}
	card, err := flashed(t, image, "--hostname", "attic", "--ssh-key", testKey)
	if err != nil {
		t.Fatal(err)
	}
	if seed, err := cardSeed(card); err != nil || !strings.Contains(seed, "hostname = attic") {
		t.Fatalf("the card's seed: %q, %v", seed, err)
	}
	for _, boot := range []struct {
		firmware qemu.Firmware
		says     string
	}{{qemu.SecureBoot, "uefi, secure boot on"}, {qemu.BIOS, "bios"}} {
		m, console := start(t, string(boot.firmware), qemu.Config{
			Disk: card, Format: "raw", Attach: qemu.USB, Firmware: boot.firmware,
			Credentials: map[string]string{
				"look.script": lookScript, "systemd.extra-unit.look.service": lookUnit, "systemd.unit-dropin.multi-user.target": "[Unit]\nWants=look.service\n",
			},
		})
		if _, err := m.WaitFor(t.Context(), `CARD [^\r\n]* end[\r\n]`, deadline); err != nil {
			t.Fatal(err)
		}
		if err := m.Wait(t.Context()); err != nil {
			t.Errorf("the machine's end: %v", err)
		}
		var host string
		var size int64
		_, said, _ := strings.Cut(console.String(), "CARD ")
		said, _, _ = strings.Cut(said, " end")
		if n, err := fmt.Sscan(said, &host, &size); n != 2 || host != "attic" || size < cardSize*8/10 || !strings.HasSuffix(said, testKey) {
			t.Errorf("%s: the node says %q, %v", boot.firmware, said, err)
		}
		for _, want := range []string{"CLOUDY-BOOT " + boot.says, "CLOUDY-AGENT identity done", "CLOUDY-READY healthy"} {
			if !strings.Contains(console.String(), want) {
				t.Errorf("%s: the console does not say %q:\n%s", boot.firmware, want, m.LastLines(30))
			}
		}
	}
	if err := grown(card); err != nil {
		t.Error(err)
	}
}

// start starts a machine of the host's QEMU, and collects what it says.
func start(t *testing.T, name string, c qemu.Config) (*qemu.Machine, *bytes.Buffer) {
	t.Helper()
	var console bytes.Buffer
	// One processor: two emulated ones spend more on each other, and as many
	// machines as there are processors run at once.
	c.Arch, c.CPUs, c.SerialLog = "amd64", 1, io.Writer(&console)
	if log := os.Getenv("CLOUDY_TEST_LOG"); log != "" {
		f, err := os.Create(filepath.Join(log, strings.ReplaceAll(t.Name()+"-"+name, "/", "-")+".log"))
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
