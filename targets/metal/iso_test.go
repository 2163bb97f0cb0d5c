package metal

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/grub"
	"cloudy/builder/tree"
	"cloudy/targets/internal/targettest"
)

// full is a root that has all that an ISO takes: the host's GRUB for BIOS and
// stand-ins for the rest.
func full(t *testing.T) *tree.Tree {
	t.Helper()
	list, err := os.ReadDir("/" + grub.Dir)
	if err != nil {
		targettest.Missing(t, "grub-pc-bin is not installed")
	}
	files := map[string]string{
		"usr/lib/shim/shimx64.efi.signed": "shim", "usr/lib/shim/mmx64.efi.signed": "mok",
		"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": "grub", "boot/initrd.img-6": "initrd",
		"usr/share/initramfs-tools/scripts/functions":      "",
		"usr/lib/modules/6/modules.dep":                    "kernel/fs/squashfs/squashfs.ko:\nkernel/drivers/scsi/sr_mod.ko: kernel/drivers/cdrom/cdrom.ko\nkernel/drivers/cdrom/cdrom.ko:\n",
		"usr/lib/modules/6/kernel/fs/squashfs/squashfs.ko": "squashfs", "usr/lib/modules/6/kernel/drivers/scsi/sr_mod.ko": "sr_mod", "usr/lib/modules/6/kernel/drivers/cdrom/cdrom.ko": "cdrom",
	}
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join("/", grub.Dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[grub.Dir+"/"+e.Name()] = string(data)
	}
	return targettest.Debian(files)
}

func program() *Program {
	return &Program{SHA256: "1", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("program")), nil }}
}

// TestISO takes the medium apart as each firmware and the live system do.
func TestISO(t *testing.T) {
	for _, tool := range []string{"xorriso", "sgdisk", "unsquashfs", "cpio"} {
		targettest.Need(t, tool, tool)
	}
	o := Options{Formats: []string{ISO}, Live: program(), Arguments: []string{"cloudy.hostname=n7", "cloudy.ssh-key=ssh-ed25519 A'B me"}}
	name := targettest.Build(t, Target{}, full(t), o)["node-amd64-x.iso"]
	dir := filepath.Join(t.TempDir(), "x")
	targettest.Run(t, "xorriso", "-osirrox", "on:o_excl_off", "-indev", name, "-extract", "/", dir)
	read := func(p string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if read("live/vmlinuz") != "kernel" || read("live/initrd") != "initrd" {
		t.Error("another kernel")
	}
	cfg := read("boot/grub/grub.cfg")
	for _, want := range []string{"boot=cloudy", `cloudy.hostname=n7 'cloudy.ssh-key=ssh-ed25519 A'\''B me'`, "cloudy.install\n", "initrd /live/initrd /live/cloudy.cpio"} {
		if !strings.Contains(cfg, want) {
			t.Errorf("no %q in\n%s", want, cfg)
		}
	}
	if _, err := exec.LookPath("grub-script-check"); err == nil {
		targettest.Run(t, "grub-script-check", filepath.Join(dir, "boot/grub/grub.cfg"))
	}
	_, mark, _ := strings.Cut(cfg, "--set=root /")
	mark, _, _ = strings.Cut(mark, "\n")
	if read(mark) != "node\n" || !strings.Contains(read("EFI/debian/grub.cfg"), "search.file /"+mark+" root") {
		t.Errorf("the medium does not find itself by %q", mark)
	}

	// What GRUB loads behind the initial RAM disk.
	ram := filepath.Join(t.TempDir(), "ram")
	if err := os.Mkdir(ram, 0o755); err != nil {
		t.Fatal(err)
	}
	targettest.Run(t, "sh", "-c", `cd "$1" && cpio -idm --quiet <"$0"`, filepath.Join(dir, "live/cloudy.cpio"), ram)
	var names []string
	for _, pattern := range []string{"*/*", "*/*/*"} {
		list, _ := filepath.Glob(filepath.Join(ram, pattern))
		for _, p := range list {
			if info, _ := os.Stat(p); info.Mode().IsRegular() {
				names = append(names, strings.TrimPrefix(p, ram+"/"))
			}
		}
	}
	if got := strings.Join(names, " "); got != "cloudy/live cloudy/live.json scripts/cloudy cloudy/modules/00-squashfs.ko cloudy/modules/01-cdrom.ko cloudy/modules/02-sr_mod.ko" {
		t.Errorf("in the RAM disk: %s", got)
	}
	targettest.Run(t, "sh", "-n", filepath.Join(ram, "scripts/cloudy"))

	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	// The stick: GPT, the ESP, boot code in the MBR with an active entry.
	if out := targettest.Run(t, "sgdisk", "-v", name); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
	table, err := gpt.Read(f, info.Size())
	if err != nil || len(table.Partitions) != 1 {
		t.Fatalf("%+v %v", table, err)
	}
	esp, err := fat.Open(io.NewSectionReader(f, table.Partitions[0].Start, table.Partitions[0].Size))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := esp.Entries()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range entries {
		found = found || e.Path == "EFI/BOOT/BOOTX64.EFI"
	}
	if !found {
		t.Errorf("ESP: %+v", entries)
	}
	mbr := make([]byte, 512)
	if _, err := f.ReadAt(mbr, 0); err != nil {
		t.Fatal(err)
	}
	if mbr[446+4] != 0xee || mbr[446+16] != 0x80 || mbr[446+16+4] != 0 || !bytes.Contains(mbr, []byte("GRUB ")) {
		t.Errorf("MBR % x", mbr[440:])
	}
	// The boot code finds GRUB's image behind cdboot.img.
	report := targettest.Run(t, "xorriso", "-indev", name, "-report_el_torito", "plain")
	if !strings.Contains(report, "/boot/grub/eltorito.img") || !strings.Contains(report, "/boot/efi.img") {
		t.Errorf("El Torito: %s", report)
	}
	at := int64(binary.LittleEndian.Uint64(mbr[0x1b0:])) * 512
	head := make([]byte, 512)
	if _, err := f.ReadAt(head, at); err != nil || !bytes.Contains(head, []byte("loading")) {
		t.Errorf("no loader at %d: %v", at, err)
	}
	out := targettest.Run(t, "unsquashfs", "-no-progress", "-d", filepath.Join(t.TempDir(), "s"), filepath.Join(dir, "live/root.squashfs"), "etc/hostname", "boot/vmlinuz-6")
	if !strings.Contains(out, "created 2 files") {
		t.Errorf("unsquashfs: %s", out)
	}
}

func TestISOErrors(t *testing.T) {
	tr := full(t)
	without := func(part string) *tree.Tree {
		return tr.Without(func(e *tree.Entry) bool { return strings.Contains(e.Path, part) })
	}
	o := Options{Formats: []string{ISO, Raw}, Live: program()}
	targettest.Refused(t, Target{}, without("initrd"), o, "no /boot/initrd.img-6")
	targettest.Refused(t, Target{}, without("initramfs-tools"), o, "initial RAM disk")
	targettest.Refused(t, Target{}, without("shim"), o, "shim")
	targettest.Refused(t, Target{}, without("cdboot.img"), o, "cdboot.img")
	targettest.Cancelled(t, Target{}, tr, o)
	// The ISO is taken back when the disk cannot be made.
	o.DiskSize = 70 << 20
	targettest.Refused(t, Target{}, tr, o, "too small")
	r := targettest.Request(t, tr, Options{Formats: []string{ISO}})
	if _, err := (Target{}).Build(t.Context(), r); err == nil || !strings.Contains(err.Error(), "no program") {
		t.Errorf("without the program: %v", err)
	}
}

func TestISOFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, full(t), Options{Formats: []string{ISO}, Live: program(), Boot: []string{"bios"}})
}
