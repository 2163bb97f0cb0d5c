package sdcard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/disk/mbr"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/internal/targettest"
)

const version = "6.12.1+deb13-arm64"

// root is a root with what a board may want.
func root(more map[string]string) *tree.Tree {
	files := map[string]string{
		"boot/vmlinuz-6": "", "boot/vmlinuz-" + version: "kernel", "boot/initrd.img-" + version: "initramfs",
		"boot/firmware/config.txt": "a hook's", "boot/firmware/start.elf": "a hook's",
		"usr/lib/fw/start.elf": "start", "usr/lib/fw/fixup.dat": "fixup", "usr/lib/fw/overlays/a.dtbo": "overlay", "usr/lib/fw/link": "-> start.elf",
		"usr/lib/linux-image-" + version + "/broadcom/bcm1.dtb": "dtb 1", "usr/lib/linux-image-" + version + "/broadcom/other.dtb": "dtb 2",
		"usr/lib/u-boot/x/spl.bin": strings.Repeat("S", 3000), "usr/lib/u-boot/x/u-boot.itb": strings.Repeat("U", 100<<10),
		"usr/sbin/sfdisk": "sfdisk", "usr/bin/partx": "partx", "etc/fstab": "# UNCONFIGURED FSTAB\n",
	}
	for p, c := range more {
		files[p] = c
	}
	return targettest.Debian(files).Without(func(e *tree.Entry) bool { return files[e.Path] == "gone" })
}

func board() Board {
	return Board{
		Name: "test", Scheme: MBR, Start: 4 * mib, Arguments: []string{"rootwait"}, Consoles: []string{"tty0", "ttyS0,115200"}, Extlinux: true,
		FATSize: 34 * mib, FATLabel: "CLOUDYBOOT", FATMount: "/boot/firmware",
		Copies: []Copy{
			{Name: "firmware", From: []string{"/usr/lib/fw/*"}},
			{Name: "kernel", From: []string{"/boot/@boot.kernel@", "/boot/@boot.initrd@"}},
			{Name: "dtb", From: []string{"/usr/lib/linux-image-@boot.version@/broadcom/bcm*.dtb"}, To: "dtb"},
			{Name: "none", From: []string{"/usr/lib/nothing/*"}, Optional: true},
		},
		FATFiles: []File{{"cmdline.txt", "@boot.arguments@\n"}, {"sub/config.txt", "kernel=@boot.kernel@\ninitramfs @boot.initrd@\n"}},
		Blobs:    []Blob{{"u-boot", "/usr/lib/u-boot/x/u-boot.itb", 128 << 10}, {"spl", "/usr/lib/u-boot/x/spl.bin", 8 << 10}},
		Files:    []File{{"/etc/default/x", "root=@boot.root@ part=@boot.partuuid@ @boot.consoles@ | @boot.console@ | @boot.extra@\n"}},
	}
}

func request(t testing.TB, r *tree.Tree, o Options) targets.Request {
	t.Helper()
	return targets.Request{
		Image: "node", Arch: "arm64", Root: r, Epoch: targettest.Epoch, Seed: [32]byte{7}, OutDir: t.TempDir(), BaseName: "node-arm64-sdcard",
		KernelArgs: []string{"quiet"}, Options: o,
	}
}

func build(t *testing.T, r *tree.Tree, o Options) map[string]string {
	t.Helper()
	if err := (Target{}).Validate("arm64", o); err != nil {
		t.Fatal(err)
	}
	list, err := Target{}.Build(t.Context(), request(t, r, o))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, a := range list {
		if !strings.Contains(a.Usage, filepath.Base(a.Path)) && a.Format != "bmap" || a.SHA256 == "" || a.MediaType == "" {
			t.Errorf("artefact %+v", a)
		}
		out[a.Format] = a.Path
	}
	return out
}

// onFAT reads the files of the FAT partition at off.
func onFAT(t *testing.T, f *os.File, off, size int64) map[string]string {
	t.Helper()
	fs, err := fat.Open(io.NewSectionReader(f, off, size))
	if err != nil {
		t.Fatal(err)
	}
	list, err := fs.Entries()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range list {
		if e.Dir {
			continue
		}
		r, err := fs.Open(e)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[e.Path] = string(data)
	}
	if fs.Label != "CLOUDYBOOT" {
		t.Errorf("label %q", fs.Label)
	}
	return out
}

// cut copies a range of a card into a file of its own, for tools that want one.
func cut(t *testing.T, card string, off, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "part")
	targettest.Run(t, "dd", "if="+card, "of="+name, "bs=1M", fmt.Sprintf("skip=%d", off/mib), fmt.Sprintf("count=%d", size/mib), "conv=sparse", "status=none")
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCard(t *testing.T) {
	for _, tool := range [][2]string{{"sfdisk", "fdisk"}, {"fsck.vfat", "dosfstools"}, {"e2fsck", "e2fsprogs"}, {"debugfs", "e2fsprogs"}, {"sgdisk", "gdisk"}} {
		targettest.Need(t, tool[0], tool[1])
	}
	for _, scheme := range []string{MBR, GPT} {
		t.Run(scheme, func(t *testing.T) {
			b := board()
			b.Scheme = scheme
			if scheme == GPT {
				b.Blobs[1].Offset = 32 << 10
			}
			r := root(nil)
			o := Options{Board: b, Formats: []string{"raw"}, Grow: true, GrowLimit: 1 << 30}
			card := build(t, r, o)["raw"]
			f, err := os.Open(card)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, _ := f.Stat()

			if out := targettest.Run(t, "sfdisk", "--verify", card); !strings.Contains(out, "No errors detected") {
				t.Error(out)
			}
			req := request(t, r, o)
			fsID := req.ID("sdcard root filesystem").String()
			var rootAt, rootSize int64
			var partUUID string
			if scheme == MBR {
				tab, err := mbr.Read(f, info.Size())
				if err != nil {
					t.Fatal(err)
				}
				p := tab.Partitions
				if len(p) != 2 || p[0].Type != mbr.FAT32LBA || p[0].Start != b.Start || p[0].Size != b.FATSize || p[0].Bootable || !p[1].Bootable || p[1].End() != info.Size() {
					t.Fatalf("partitions %+v", p)
				}
				rootAt, rootSize, partUUID = p[1].Start, p[1].Size, tab.PartUUID(2)
			} else {
				if out := targettest.Run(t, "sgdisk", "-v", card); !strings.Contains(out, "No problems found") {
					t.Error(out)
				}
				tab, err := gpt.Read(f, info.Size())
				if err != nil {
					t.Fatal(err)
				}
				p := tab.Partitions
				if len(p) != 2 || p[0].Start != b.Start || p[1].Type != uuid.MustParse(gpt.RootARM64) || p[1].Attributes != gpt.GrowFlag|legacyBootable {
					t.Fatalf("partitions %+v", p)
				}
				rootAt, rootSize, partUUID = p[1].Start, p[1].Size, p[1].GUID.String()
			}
			for _, blob := range b.Blobs {
				want, _ := r.Find(strings.TrimPrefix(blob.From, "/")).Text()
				got := make([]byte, len(want))
				if _, err := f.ReadAt(got, blob.Offset); err != nil || string(got) != want {
					t.Errorf("blob %s is not at byte %d (%v)", blob.Name, blob.Offset, err)
				}
			}

			files := onFAT(t, f, b.Start, b.FATSize)
			args := "root=UUID=" + fsID + " ro console=tty0 console=ttyS0,115200 rootwait quiet"
			want := map[string]string{
				"start.elf": "start", "fixup.dat": "fixup", "overlays/a.dtbo": "overlay", "link": "start", "dtb/bcm1.dtb": "dtb 1",
				"vmlinuz-" + version: "kernel", "initrd.img-" + version: "initramfs", "cmdline.txt": args + "\n",
				"sub/config.txt": "kernel=vmlinuz-" + version + "\ninitramfs initrd.img-" + version + "\n", "cloudy.txt": seedText,
			}
			for p, c := range want {
				if files[p] != c {
					t.Errorf("%s on the FAT partition is %q, want %q", p, files[p], c)
				}
			}
			if len(files) != len(want) {
				t.Errorf("on the FAT partition is %v", files)
			}
			targettest.Run(t, "fsck.vfat", "-n", cut(t, card, b.Start, b.FATSize))

			ext := cut(t, card, rootAt, rootSize)
			targettest.Run(t, "e2fsck", "-fn", ext)
			cat := func(name string) string {
				return targettest.Run(t, "debugfs", "-R", "cat "+name, ext)
			}
			for name, text := range map[string]string{
				"/etc/default/x":               "root=UUID=" + fsID + " part=" + partUUID + " tty0 ttyS0,115200 | console=tty0 console=ttyS0,115200 | rootwait quiet\n",
				"/boot/extlinux/extlinux.conf": "\tlinux /boot/vmlinuz-" + version + "\n\tinitrd /boot/initrd.img-" + version + "\n\tfdtdir /usr/lib/linux-image-" + version + "/\n\tappend " + args + "\n",
				"/etc/fstab":                   "UUID=" + fsID + " / ext4 errors=remount-ro,noatime,x-systemd.growfs 0 1\n",
			} {
				if !strings.Contains(cat(name), text) {
					t.Errorf("%s is\n%s\nwant\n%s", name, cat(name), text)
				}
			}
			if out := targettest.Run(t, "debugfs", "-R", "ls -p /boot/firmware", ext); strings.Contains(out, "config.txt") {
				t.Errorf("what hooks wrote is under the mount point:\n%s", out)
			}
			if has := strings.Contains(cat("/usr/lib/cloudy/grow-root"), "limit=2097152"); has != (scheme == MBR) {
				t.Errorf("the script that grows a partition is there: %v", has)
			}
		})
	}
}

// TestCores: the same bits on any number of processors.
func TestCores(t *testing.T) {
	var sums [2][]string
	for i := range sums {
		before := runtime.GOMAXPROCS(1 + 2*i)
		list, err := Target{}.Build(t.Context(), request(t, root(nil), Options{Formats: []string{"raw", "raw.zst", "raw.xz", "raw.gz"}, Board: board()}))
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			sums[i] = append(sums[i], a.Format+" "+a.SHA256)
		}
	}
	if !slices.Equal(sums[0], sums[1]) || len(sums[0]) != 5 {
		t.Errorf("two builds differ: %v and %v", sums[0], sums[1])
	}
}

// TestFormats: every format holds the same card, and the same bits each time.
func TestFormats(t *testing.T) {
	for _, tool := range []string{"zstd", "xz", "gzip"} {
		targettest.Need(t, tool, tool)
	}
	o := Options{Board: board(), Formats: []string{"raw.xz", "raw", "raw.zst", "raw.gz", "raw"}, DiskSize: 64 * mib}
	files := build(t, root(nil), o)
	raw, err := os.ReadFile(files["raw"])
	if err != nil || len(raw) != 64*mib || len(files) != 5 || files["bmap"] == "" {
		t.Fatalf("%d bytes, %v, %v", len(raw), files, err)
	}
	for format, tool := range map[string]string{"raw.zst": "zstd", "raw.xz": "xz", "raw.gz": "gzip"} {
		if got := targettest.Run(t, tool, "-dc", files[format]); got != string(raw) {
			t.Errorf("%s holds another card", format)
		}
	}
	o.Formats = nil
	again := build(t, root(nil), o)
	a, _ := os.ReadFile(files["raw.zst"])
	b, _ := os.ReadFile(again["raw.zst"])
	if len(again) != 2 || !bytes.Equal(a, b) {
		t.Error("the second card is another one")
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		change func(*Options)
		want   string
		hint   string
	}{
		{"no kernel", map[string]string{"boot/vmlinuz-6": "gone", "boot/vmlinuz-" + version: "gone"}, nil, "no kernel", "linux-image"},
		{"no initramfs", map[string]string{"boot/initrd.img-" + version: "gone"}, nil, "no initramfs", "initramfs-tools"},
		{"no blob", nil, func(o *Options) { o.Board.Blobs[0].From = "/usr/lib/u-boot/x/u-boot.img" }, "no /usr/lib/u-boot/x/u-boot.img", "spl.bin, u-boot.itb"},
		{"no package", nil, func(o *Options) { o.Board.Blobs[0].From = "/usr/lib/u-boot/y/z/a" }, "no /usr/lib/u-boot/y/z/a", "in /usr/lib/u-boot there is x"},
		{"no file to copy", nil, func(o *Options) { o.Board.Copies[0].From = []string{"/usr/lib/fw/*.bin"} }, "no /usr/lib/fw/*.bin", "fixup.dat"},
		{"blobs overlap", nil, func(o *Options) { o.Board.Blobs[1].Offset = 127 << 10 }, `blob "u-boot" begins at byte 131072, which is in blob "spl"`, ""},
		{"blob in the table", nil, func(o *Options) { o.Board.Scheme = GPT }, "which is in the partition table", ""},
		{"blob in the partition", nil, func(o *Options) { o.Board.Blobs[0].Offset = 4*mib - 4096 }, "behind the beginning of the first partition", "later"},
		{"small card", nil, func(o *Options) { o.DiskSize = 40 * mib }, "40 MiB is too small", "at least"},
		{"no sfdisk", map[string]string{"usr/sbin/sfdisk": "gone"}, func(o *Options) { o.Grow = true }, "no /usr/sbin/sfdisk", `"fdisk"`},
		{"scheme", nil, func(o *Options) { o.Board.Scheme = "apm" }, `scheme "apm"`, ""},
		{"format", nil, func(o *Options) { o.Formats = []string{"iso"} }, `format "iso"`, ""},
		{"FAT too small for its content", map[string]string{"usr/lib/fw/big": strings.Repeat("x", 40*mib)}, nil, "too small", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Board: board()}
			if c.change != nil {
				c.change(&o)
			}
			r := request(t, root(c.files), o)
			_, err := Target{}.Build(t.Context(), r)
			if err == nil || fail.KindOf(err) != fail.User || !strings.Contains(err.Error(), c.want) || !strings.Contains(fail.HintOf(err), c.hint) {
				t.Errorf("error %v (kind %v, hint %q), want one of the user's with %q", err, fail.KindOf(err), fail.HintOf(err), c.want)
			}
			if left, _ := os.ReadDir(r.OutDir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := request(t, root(nil), Options{Board: board()})
	if _, err := (Target{}).Build(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled build gave %v", err)
	}
	if err := (Target{}).Validate("amd64", Options{Board: board()}); fail.KindOf(err) != fail.User {
		t.Errorf("a card for amd64: %v", err)
	}
}

// TestFstab: one that the recipe wrote stays.
func TestFstab(t *testing.T) {
	o := Options{Board: board()}
	c := &card{Request: &targets.Request{Arch: "arm64", Root: root(map[string]string{"etc/fstab": "LABEL=mine / ext4 defaults 0 1\n"})}, o: o, b: &o.Board}
	ed := c.Root.Edit(targettest.Epoch)
	if err := c.fstab(ed); err != nil {
		t.Fatal(err)
	}
	if got, _ := ed.Tree().Find("etc/fstab").Text(); !strings.HasPrefix(got, "LABEL=mine") {
		t.Error(got)
	}
}
