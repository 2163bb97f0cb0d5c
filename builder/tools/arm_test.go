package tools

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/builder/archive/realtest"
	"cloudy/builder/qemu"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/sdcard"
	"cloudy/targets/vm"
)

// TestBootARM boots what the disk's and the card's writers make for arm64, on
// QEMU's machine "virt": the vm target by UEFI through Debian's shim and GRUB,
// the sdcard target by Debian's U-Boot through extlinux.conf. Firmware, boot
// loaders and kernel are Debian's; the system is one program.
func TestBootARM(t *testing.T) {
	e := testEngine(t)
	archive := realtest.Open(t, e.Store, "arm64")
	tl, err := Root(t.Context(), e, QEMUarm, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := armRoot(t, archive)
	request := targets.Request{
		Image: "test", Arch: "arm64", Root: root, Epoch: realtest.Epoch, Seed: [32]byte{1}, KernelArgs: []string{"test.argument", "panic=-1"},
	}
	for _, c := range []struct {
		firmware qemu.Firmware
		target   targets.Target
		options  any
		says     string
	}{
		{qemu.UEFI, vm.Target{}, vm.Options{Formats: []string{"raw"}}, "firmware=uefi machine=aarch64 cmdline=BOOT_IMAGE=/boot/vmlinuz-"},
		{qemu.UBoot, sdcard.Target{}, sdcard.Options{Formats: []string{"raw"}, Board: sdcard.Board{
			Name: "virt", Scheme: sdcard.MBR, Start: 4 << 20, Consoles: []string{"ttyAMA0,115200"}, Extlinux: true,
			FATSize: 64 << 20, FATLabel: "CLOUDYBOOT", FATMount: "/boot/firmware",
		}}, "firmware=other machine=aarch64 cmdline=root=UUID="},
	} {
		t.Run(string(c.firmware), func(t *testing.T) {
			r := request
			r.OutDir, r.BaseName, r.Options = t.TempDir(), "test", c.options
			list, err := c.target.Build(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			var console bytes.Buffer
			m, err := qemu.Start(t.Context(), qemu.Config{
				Disk: list[0].Path, Format: "raw", Arch: "arm64", Firmware: c.firmware, Snapshot: true, Root: tl.Dir(), Run: tl.QEMU, SerialLog: &console,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			start := time.Now()
			said, err := m.WaitFor(t.Context(), `TEST-READY [^\r\n]*[\r\n]`, 20*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("after %v: %s", time.Since(start).Round(time.Second), strings.TrimSpace(said))
			if !strings.Contains(said, c.says) || !strings.Contains(said, " test.argument ") {
				t.Errorf("the machine says %q, want %q", said, c.says)
			}
		})
	}
}

// armRoot has what it takes to boot, and nothing else.
func armRoot(t *testing.T, a *realtest.Archive) *tree.Tree {
	t.Helper()
	meta := a.Package("linux-image-cloud-arm64")
	if meta == nil {
		t.Fatal("Debian has no cloud kernel for arm64")
	}
	kernel, _, _ := strings.Cut(strings.TrimSpace(meta.Depends), " ")
	version := strings.TrimPrefix(kernel, "linux-image-")
	root := (&tree.Tree{}).Edit(realtest.Epoch)
	for _, pkg := range []string{kernel, "shim-signed", "shim-helpers-arm64-signed", "grub-efi-arm64-signed"} {
		for _, f := range a.Files(t, pkg) {
			if strings.HasPrefix(f.Path, "usr/lib/modules/") || strings.HasPrefix(f.Path, "usr/share/") {
				continue
			}
			root.Dir(path.Dir(f.Path))
			root.Put(f)
		}
	}
	root.Text("boot/initrd.img-"+version, string(initramfs(t)), 0o644)
	return root.Tree()
}

// initramfs is a cpio archive ("newc": the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst) of /init and
// /dev/console.
func initramfs(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "init")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", file, "./testdata/init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build init: %v: %s", err, text)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	inode := 0
	pad := func() { b.Write(make([]byte, -b.Len()&3)) }
	add := func(name string, mode, major, minor int, data []byte) {
		inode++
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
		b.WriteString(name + "\x00")
		pad()
		b.Write(data)
		pad()
	}
	add("dev", 0o40755, 0, 0, nil)
	add("dev/console", 0o20600, 5, 1, nil)
	add("init", 0o100755, 0, 0, program)
	add("TRAILER!!!", 0, 0, 0, nil)
	return b.Bytes()
}
