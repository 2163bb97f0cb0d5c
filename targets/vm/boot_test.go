package vm

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/qemu"
	"cloudy/builder/tree"
	"cloudy/targets"
)

// TestBoot boots the root that CLOUDY_TEST_ROOT names by each firmware. The
// root is a Debian system for amd64 with a cloud kernel, the boot loaders'
// packages and a unit that writes CLOUDY-READY to the console; the
// integration test makes one with the builder itself. CLOUDY_TEST_FIRMWARE
// picks some firmwares, CLOUDY_TEST_LOG is a folder for the consoles.
func TestBoot(t *testing.T) {
	root := os.Getenv("CLOUDY_TEST_ROOT")
	if root == "" {
		t.Skip("CLOUDY_TEST_ROOT names no root; the integration test boots one that it builds")
	}
	tr, err := tree.Scan(root)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Target{}.Build(t.Context(), targets.Request{
		Image: "test", Arch: "amd64", Root: tr, Epoch: time.Unix(1760000000, 0), Seed: [32]byte{1},
		OutDir: t.TempDir(), BaseName: "test",
		KernelArgs: []string{"panic=-1", "systemd.default_device_timeout_sec=900"},
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted := os.Getenv("CLOUDY_TEST_FIRMWARE")
	for _, fw := range []qemu.Firmware{qemu.BIOS, qemu.UEFI, qemu.SecureBoot} {
		if wanted != "" && !strings.Contains(","+wanted+",", ","+string(fw)+",") {
			continue
		}
		t.Run(string(fw), func(t *testing.T) {
			c := qemu.Config{Disk: list[0].Path, Format: list[0].Format, Arch: "amd64", Firmware: fw, Snapshot: true}
			if dir := os.Getenv("CLOUDY_TEST_LOG"); dir != "" {
				f, err := os.Create(filepath.Join(dir, string(fw)+".log"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				c.SerialLog = io.Writer(f)
			}
			start := time.Now()
			m, err := qemu.Start(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			want := []string{`Linux version`, `CLOUDY-READY`}
			if fw == qemu.SecureBoot {
				want = []string{`Linux version`, `[Ss]ecure boot enabled`, `CLOUDY-READY`}
			}
			for _, pattern := range want {
				if _, err := m.WaitFor(t.Context(), pattern, 20*time.Minute); err != nil {
					t.Fatal(err)
				}
				t.Logf("%s after %v", pattern, time.Since(start).Round(time.Second))
			}
		})
	}
}
