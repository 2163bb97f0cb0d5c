package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/grub"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
)

var epoch = time.Unix(1760000000, 0).UTC()

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// root is a tree that has what the target looks at: the host's GRUB for BIOS,
// and stand-ins for a kernel and the signed programs.
func root(t *testing.T) *tree.Tree {
	t.Helper()
	if _, err := os.Stat("/" + grub.Dir + "/kernel.img"); err != nil {
		missing(t, "grub-pc-bin is not installed")
	}
	ed := (&tree.Tree{}).Edit(epoch.Add(-time.Hour))
	file := func(p string, data string) { ed.Text(p, data, 0o644) }
	list, err := os.ReadDir("/" + grub.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join("/", grub.Dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		file(grub.Dir+"/"+e.Name(), string(data))
	}
	for _, p := range []string{"usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/mmx64.efi.signed",
		"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "usr/sbin/update-grub",
		"boot/vmlinuz-6.12.9-cloud-amd64", "boot/vmlinuz-6.12.10-cloud-amd64", "boot/initrd.img-6.12.10-cloud-amd64", "boot/initrd.img-6.12.9-cloud-amd64"} {
		file(p, "content of "+p)
	}
	file("etc/fstab", "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n")
	ed.Link("vmlinuz", "boot/vmlinuz-6.12.9-cloud-amd64")
	return ed.Tree()
}

func request(t *testing.T, tr *tree.Tree) targets.Request {
	return targets.Request{Image: "node", Arch: "amd64", Root: tr, Epoch: epoch, Seed: [32]byte{7}, OutDir: t.TempDir(),
		BaseName: "node-amd64", KernelArgs: []string{"quiet"}}
}

// run is a judge; its output comes back.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name+" is not installed")
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// raw plans a disk and writes it to a file.
func raw(t *testing.T, r targets.Request, o Options) (*os.File, *Disk) {
	t.Helper()
	d, err := Plan(t.Context(), &r, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(d.Size()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return f, d
}

func TestDisk(t *testing.T) {
	tr := root(t)
	before := len(tr.Entries)
	r := request(t, tr)
	f, d := raw(t, r, Options{Target: "vm", Grow: true})
	if len(tr.Entries) != before {
		t.Error("the root itself was changed")
	}
	if out := run(t, "sgdisk", "-v", f.Name()); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
	table, err := gpt.Read(f, d.Size())
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]gpt.Partition{}
	for _, p := range table.Partitions {
		parts[p.Name] = p
	}
	if p := parts["root"]; p.Number != 1 || p.Attributes != gpt.GrowFlag || p.End() != d.Size()-gpt.Tail {
		t.Errorf("root partition %+v", p)
	}
	uuid := r.ID("vm root filesystem").String()
	checkRoot(t, f.Name(), parts["root"], uuid)
	checkESP(t, io.NewSectionReader(f, parts["esp"].Start, parts["esp"].Size), uuid)
	checkBIOS(t, f, parts["bios"])
}

func checkRoot(t *testing.T, raw string, p gpt.Partition, uuid string) {
	t.Helper()
	image := fmt.Sprintf("%s?offset=%d", raw, p.Start)
	run(t, "e2fsck", "-fn", image)
	cat := func(name string) string { return run(t, "debugfs", "-R", "cat "+name, image) }
	if got := cat("/etc/fstab"); !strings.Contains(got, "UUID="+uuid+" / ext4 errors=remount-ro,x-systemd.growfs 0 1\n") || !strings.Contains(got, " /boot/efi vfat ") {
		t.Errorf("fstab: %s", got)
	}
	cfg := cat("/boot/grub/grub.cfg")
	for _, want := range []string{"set=root " + uuid, "linux $linux root=UUID=" + uuid + " ro console=tty0 console=ttyS0,115200 no_timer_check quiet",
		"set linux=/boot/vmlinuz-6.12.9-cloud-amd64", "set linux=/vmlinuz\n", "initrd $initrd"} {
		if !strings.Contains(cfg, want) {
			t.Errorf("no %q in grub.cfg:\n%s", want, cfg)
		}
	}
	if _, err := exec.LookPath("grub-script-check"); err == nil {
		i := strings.Index(cfg, "# Written") // debugfs says its version first
		cmd := exec.Command("grub-script-check")
		cmd.Stdin = strings.NewReader(cfg[i:])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("grub-script-check: %v\n%s", err, out)
		}
	}
	if got := run(t, "debugfs", "-R", "stat /boot/grub/i386-pc/normal.mod", image); !strings.Contains(got, "Type: regular") {
		t.Errorf("no normal.mod: %s", got)
	}
	if got := cat("/etc/default/grub.d/50-cloudy.cfg"); !strings.Contains(got, `GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200 no_timer_check quiet"`) {
		t.Errorf("grub's defaults: %s", got)
	}
}

func checkESP(t *testing.T, r io.ReaderAt, uuid string) {
	t.Helper()
	esp, err := fat.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	list, err := esp.Entries()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed", "EFI/debian/shimx64.efi": "usr/lib/shim/shimx64.efi.signed",
		"EFI/BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/debian/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
		"EFI/BOOT/mmx64.efi": "usr/lib/shim/mmx64.efi.signed", "EFI/debian/mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
	}
	for _, e := range list {
		if e.Dir {
			continue
		}
		r, err := esp.Open(e)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Path == "EFI/debian/grub.cfg":
			if !strings.HasPrefix(string(b), "search.fs_uuid "+uuid+" root\n") {
				t.Errorf("%s: %s", e.Path, b)
			}
		case want[e.Path] == "" || string(b) != "content of "+want[e.Path]:
			t.Errorf("%s: %s", e.Path, b)
		}
		delete(want, e.Path)
	}
	if len(want) > 0 {
		t.Errorf("the ESP has no %v", want)
	}
}

func checkBIOS(t *testing.T, r io.ReaderAt, p gpt.Partition) {
	t.Helper()
	mbr, core := make([]byte, 512), make([]byte, 4096)
	if _, err := r.ReadAt(mbr, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(core, p.Start); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(mbr, []byte("GRUB ")) || mbr[450] != 0xee || !bytes.Contains(core[:512], []byte("loading")) {
		t.Error("no boot code in the MBR or the BIOS boot partition")
	}
}

// TestSameBits writes twice, on one core and on two.
func TestSameBits(t *testing.T) {
	tr := root(t)
	var sums [2][32]byte
	for i := range sums {
		before := runtime.GOMAXPROCS(i + 1)
		f, _ := raw(t, request(t, tr), Options{Target: "vm", DiskSize: 300 * mib})
		runtime.GOMAXPROCS(before)
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != 300*mib {
			t.Errorf("size of the disk: %d", len(b))
		}
		sums[i] = sha256.Sum256(b)
	}
	if sums[0] != sums[1] {
		t.Error("two builds differ")
	}
	other := prepared(t, tr, Options{Target: "metal"})
	if d := prepared(t, tr, Options{Target: "vm"}); rootUUID(d) == rootUUID(other) || d.table.GUID == other.table.GUID {
		t.Error("disks of two targets have one id")
	}
	r := request(t, tr)
	changed := r
	changed.Seed[0]++
	if r.ID("x") == changed.ID("x") || r.ID("x") == r.ID("y") {
		t.Error("ids do not follow seed and name")
	}
}

func TestFirmwares(t *testing.T) {
	for _, tc := range []struct {
		boot []string
		want int
	}{{[]string{BIOS}, 2}, {[]string{UEFI}, 2}, {nil, 3}} {
		b := prepared(t, root(t), Options{Boot: tc.boot})
		if len(b.table.Partitions) != tc.want {
			t.Errorf("%v: partitions %+v", tc.boot, b.table.Partitions)
		}
		if (b.core != nil) != b.has(BIOS) || (b.esp != nil) != b.has(UEFI) {
			t.Errorf("%v: core %v, esp %v", tc.boot, b.core != nil, b.esp != nil)
		}
	}
}

// prepared does all but writing.
func prepared(t *testing.T, tr *tree.Tree, o Options) *Disk {
	t.Helper()
	r := request(t, tr)
	d, err := Plan(t.Context(), &r, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func without(tr *tree.Tree, drop func(path string) bool) *tree.Tree {
	out := &tree.Tree{}
	for _, e := range tr.Entries {
		if !drop(e.Path) {
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

func content(t *testing.T, tr *tree.Tree, name string) string {
	t.Helper()
	e := tr.Find(name)
	if e == nil {
		t.Fatalf("no %s", name)
	}
	b, err := e.Text()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOwnFilesStay(t *testing.T) {
	tr := root(t)
	const fstab, cfg = "LABEL=mine / ext4 defaults 0 1\n", "# mine\n"
	own := tr.Edit(epoch)
	own.Text("etc/fstab", fstab, 0o644)
	own.Text("boot/grub/grub.cfg", cfg, 0o644)
	b := prepared(t, own.Tree(), Options{})
	if got := content(t, b.tree, "etc/fstab"); got != fstab {
		t.Errorf("fstab: %s", got)
	}
	if got := content(t, b.tree, "boot/grub/grub.cfg"); got != cfg {
		t.Errorf("grub.cfg: %s", got)
	}
}

// TestARM64: no BIOS, names of its own, another serial console.
func TestARM64(t *testing.T) {
	ed := (&tree.Tree{}).Edit(epoch)
	for _, p := range []string{"usr/lib/shim/shimaa64.efi.signed", "usr/lib/shim/mmaa64.efi.signed",
		"usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed", "boot/vmlinuz-6.12.9-arm64", "boot/initrd.img-6.12.9-arm64"} {
		ed.Text(p, p, 0o644)
	}
	r := request(t, ed.Tree())
	r.Arch = "arm64"
	f, d := raw(t, r, Options{Target: "vm"})
	table, err := gpt.Read(f, d.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Partitions) != 2 || !strings.EqualFold(table.Partitions[0].Type.String(), gpt.RootARM64) {
		t.Fatalf("partitions %+v", table.Partitions)
	}
	esp, err := fat.Open(io.NewSectionReader(f, table.Partitions[1].Start, table.Partitions[1].Size))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := esp.Entries()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Path)
	}
	want := "EFI EFI/BOOT EFI/BOOT/BOOTAA64.EFI EFI/BOOT/grubaa64.efi EFI/BOOT/mmaa64.efi EFI/debian EFI/debian/grub.cfg EFI/debian/grubaa64.efi EFI/debian/mmaa64.efi EFI/debian/shimaa64.efi"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("ESP: %s", got)
	}
	if out := run(t, "debugfs", "-R", "cat /boot/grub/grub.cfg", fmt.Sprintf("%s?offset=%d", f.Name(), table.Partitions[0].Start)); !strings.Contains(out, "console=ttyAMA0,115200") {
		t.Errorf("grub.cfg: %s", out)
	}
}

func TestKernels(t *testing.T) {
	nolinks := without(root(t), func(p string) bool { return p == "vmlinuz" })
	if b := prepared(t, nolinks, Options{}); b.kernel.version != "6.12.10-cloud-amd64" || b.kernel.links {
		t.Errorf("not the newest kernel: %+v", b.kernel)
	}
	noinitrd := without(root(t), func(p string) bool { return strings.Contains(p, "initrd") })
	b := prepared(t, noinitrd, Options{})
	if cfg := content(t, b.tree, "boot/grub/grub.cfg"); !strings.Contains(cfg, "root=PARTUUID="+b.rootPt.GUID.String()) || strings.Contains(cfg, "  initrd ") {
		t.Errorf("without an initial RAM disk:\n%s", cfg)
	}
}

func TestErrors(t *testing.T) {
	full := root(t)
	lacks := func(part string) *tree.Tree {
		return without(full, func(p string) bool { return strings.Contains(p, part) })
	}
	for _, tc := range []struct {
		name string
		root *tree.Tree
		opts Options
		arch string
		want string // in the error or its hint
	}{
		{"no kernel", lacks("vmlinuz"), Options{}, "amd64", "linux-image-cloud-amd64"},
		{"no shim", lacks("usr/lib/shim"), Options{}, "amd64", `"shim-signed"`},
		{"no signed GRUB", lacks("x86_64-efi-signed"), Options{}, "amd64", `"grub-efi-amd64-signed"`},
		{"no GRUB for BIOS", lacks("i386-pc"), Options{}, "amd64", `"grub-pc-bin"`},
		{"a file of GRUB is gone", lacks("ext2.mod"), Options{}, "amd64", `"grub-pc-bin"`},
		{"disk too small", full, Options{DiskSize: 70 * mib}, "amd64", "at least "},
		{"odd disk size", full, Options{DiskSize: 300*mib + 1}, "amd64", "whole MiB"},
		{"architecture", full, Options{}, "armhf", "armhf"},
		{"BIOS on ARM", full, Options{Boot: []string{BIOS}}, "arm64", "bios"},
		{"kernel in a loop", loop(full), Options{}, "amd64", "symbolic links"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, tc.root)
			r.Arch = tc.arch
			_, err := Plan(t.Context(), &r, tc.opts)
			if err == nil || !strings.Contains(err.Error()+" "+fail.HintOf(err), tc.want) {
				t.Fatalf("error %v (%s), want %q", err, fail.HintOf(err), tc.want)
			}
			if tc.name != "kernel in a loop" && fail.KindOf(err) != fail.User {
				t.Errorf("%v is of kind %v", err, fail.KindOf(err))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := prepared(t, full, Options{})
	if _, err := d.Build(ctx, []Format{{Name: "raw"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if list, err := os.ReadDir(d.OutDir); err != nil || len(list) > 0 {
		t.Errorf("left behind: %v (%v)", list, err)
	}
}

func loop(tr *tree.Tree) *tree.Tree {
	out := without(tr, func(p string) bool { return p == "vmlinuz" })
	out.Entries = append(out.Entries, tree.Entry{Path: "vmlinuz", Type: tree.Symlink, Link: "vmlinuz"})
	out.Sort()
	return out
}
