package plan

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/archive/realtest"
	"cloudy/builder/disk/fat"
	"cloudy/builder/fail"
	"cloudy/builder/recipe"
	"cloudy/builder/tree"
	"cloudy/targets"
	"cloudy/targets/sdcard"
)

// TestBootWords: what a board may write is what the target knows.
func TestBootWords(t *testing.T) {
	if got, want := recipe.BootValues(), sdcard.Words(); !slices.Equal(got, want) {
		t.Errorf("the language has boot.%v, the target replaces %v", got, want)
	}
	for _, w := range recipe.BootValues() {
		if got := recipe.BootValue(w); got != "@boot."+w+"@" {
			t.Errorf("boot.%s reads as %q", w, got)
		}
	}
}

// boardImages is a recipe with an image for each board of the program.
func boardImages(t *testing.T) *recipe.Module {
	t.Helper()
	m, diags := recipe.Load(t.Context(), recipe.Embedded(), recipe.Options{})
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("archive \"debian\" {\n  suites = [\"trixie\"]\n  components = [\"main\", \"non-free-firmware\"]\n}\n")
	for _, name := range m.Boards() {
		var archs []string
		for _, a := range m.BoardArchitectures(name) {
			archs = append(archs, fmt.Sprintf("%q", a))
		}
		fmt.Fprintf(&text, "image %q {\n  architectures = [%s]\n  target \"sdcard\" {\n    board   = %q\n    formats = [\"raw\"]\n  }\n}\n", name, strings.Join(archs, ", "), name)
	}
	if err := os.WriteFile(filepath.Join(dir, "cloudy.hcl"), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := recipe.OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m, diags = recipe.Load(t.Context(), src, recipe.Options{}); diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	return m
}

// TestBoards makes a card for every board out of the files of Debian's own
// packages of firmware and boot loaders, with a kernel that is none, and
// looks at it as the board's boot ROM does.
func TestBoards(t *testing.T) {
	if testing.Short() {
		t.Skip("downloads packages of the real archive")
	}
	m := boardImages(t)
	st := realtest.Store(t)
	archives := map[string]*realtest.Archive{}
	for _, name := range m.Images() {
		for _, arch := range m.Architectures(name) {
			img, diags := m.Image(name, arch)
			if diags.HasErrors() {
				t.Fatal(m.Err(diags))
			}
			if archives[arch] == nil {
				archives[arch] = realtest.Open(t, st, arch)
			}
			t.Run(name+" "+arch, func(t *testing.T) {
				root := fakeRoot(arch)
				for _, p := range img.Board.Packages {
					if archives[arch].Package(p.Name) == nil {
						t.Errorf("Debian has no package %s for %s", p.Name, arch)
						continue
					}
					if p.Name != "raspi-firmware" && !strings.HasPrefix(p.Name, "u-boot-") {
						continue
					}
					for _, f := range archives[arch].Files(t, p.Name) {
						root.Dir(path.Dir(f.Path))
						root.Put(f)
					}
				}
				boardCard(t, img, root.Tree())
			})
		}
	}
}

// fakeRoot has a kernel that is none.
func fakeRoot(arch string) *tree.Editor {
	ed := (&tree.Tree{}).Edit(realtest.Epoch)
	ed.Dir(".")
	version, dtbs := "6.12.1-"+arch, "usr/lib/linux-image-6.12.1-"+arch+"/"
	for name, text := range map[string]string{
		"boot/vmlinuz-" + version: "kernel", "boot/initrd.img-" + version: "initramfs", "usr/sbin/sfdisk": "", "usr/bin/partx": "",
		dtbs + "broadcom/bcm2711-rpi-4-b.dtb": "4", dtbs + "bcm2836-rpi-2-b.dtb": "2",
	} {
		ed.Text(name, text, 0o644)
	}
	return ed
}

// romReads are where boot ROMs look for their first stage, and what it has there.
var romReads = map[string]struct {
	offset int64
	magic  string // at magicAt behind offset
	at     int64
}{
	"u-boot-sunxi":    {8 << 10, "eGON.BT0", 4},          // linux-sunxi's "BROM"
	"u-boot-rockchip": {32 << 10, "\x3b\x8c\xdc\xfc", 0}, // RC4 of the header's magic 0x0ff0aa55
	"u-boot-omap":     {128 << 10, "CHSETTINGS", 0x14},   // the TOC of TI's configuration header
}

func boardCard(t *testing.T, img *recipe.Image, root *tree.Tree) {
	target := img.Targets[slices.IndexFunc(img.Targets, func(x recipe.Target) bool { return x.Name == "sdcard" })]
	o := cardOptions(img, target).(sdcard.Options)
	o.DiskSize = o.Board.Start + o.Board.FATSize + 256<<20 // hashing empty space takes time
	list, err := sdcard.Target{}.Build(t.Context(), targets.Request{
		Image: img.Name, Arch: img.Arch, Root: root, Epoch: realtest.Epoch, OutDir: t.TempDir(), BaseName: "card",
		Options: o,
	})
	if err != nil {
		t.Fatalf("%v (%s)", err, fail.HintOf(err))
	}
	f, err := os.Open(list[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if sfdisk, err := exec.LookPath("sfdisk"); err == nil {
		if out, err := exec.Command(sfdisk, "--verify", f.Name()).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("No errors detected")) {
			t.Errorf("sfdisk --verify: %v\n%s", err, out)
		}
	} else {
		realtest.Missing(t, "no sfdisk")
	}
	for _, p := range img.Board.Packages {
		rom, ok := romReads[p.Name]
		if !ok {
			continue
		}
		got := make([]byte, len(rom.magic))
		if _, err := f.ReadAt(got, rom.offset+rom.at); err != nil || string(got) != rom.magic {
			t.Errorf("the boot ROM finds %q at byte %d, wants %q (%v)", got, rom.offset+rom.at, rom.magic, err)
		}
	}
	if img.Board.Name == "raspberry-pi" {
		piCard(t, img, f)
	}
}

// piCard looks for what the Raspberry Pi's boot ROM and firmware read: the
// first partition, a FAT, with the next stages and what they are told.
func piCard(t *testing.T, img *recipe.Image, f *os.File) {
	sector := make([]byte, 512)
	if _, err := f.ReadAt(sector, 0); err != nil || sector[446+4] != 0x0c {
		t.Fatalf("the first partition is of type %#x (%v)", sector[446+4], err)
	}
	fs, err := fat.Open(io.NewSectionReader(f, img.Board.Start, img.Board.Firmware.Size))
	if err != nil {
		t.Fatal(err)
	}
	list, err := fs.Entries()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range list {
		if r, err := fs.Open(e); err == nil && !e.Dir {
			b, _ := io.ReadAll(r)
			files[e.Path] = string(b)
		}
	}
	dtb := map[string]string{"arm64": "bcm2711-rpi-4-b.dtb", "armhf": "bcm2836-rpi-2-b.dtb"}[img.Arch]
	for _, name := range []string{
		"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "config.txt", "cmdline.txt", "cloudy.txt", dtb,
		"vmlinuz-6.12.1-" + img.Arch, "initrd.img-6.12.1-" + img.Arch, "overlays/hifiberry-dac.dtbo",
	} {
		if files[name] == "" {
			t.Errorf("the partition has no %s", name)
		}
	}
	if !strings.HasPrefix(files["start4.elf"], "\x7fELF") {
		t.Error("start4.elf is no ELF file")
	}
	config := map[string]string{}
	for line := range strings.Lines(files["config.txt"]) {
		line = strings.TrimSpace(line)
		if k, v, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			config[k] = v
		}
		if v, ok := strings.CutPrefix(line, "initramfs "); ok {
			config["initramfs"] = v
		}
	}
	if files[config["kernel"]] == "" || files[config["initramfs"]] == "" || (config["arm_64bit"] == "1") != (img.Arch == "arm64") {
		t.Errorf("config.txt: %v", config)
	}
	if line := files["cmdline.txt"]; !strings.HasPrefix(line, "root=UUID=") || !strings.Contains(line, " rootwait ") || strings.Count(line, "\n") != 1 {
		t.Errorf("cmdline.txt: %q", line)
	}
}

// TestBoardsAreDocumented: docs/boards.md has a line for each board.
func TestBoardsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/boards.md")
	if err != nil {
		t.Fatal(err)
	}
	m, diags := recipe.Load(t.Context(), recipe.Embedded(), recipe.Options{})
	if diags.HasErrors() {
		t.Fatal(m.Err(diags))
	}
	for _, name := range m.Boards() {
		i := bytes.Index(text, []byte("| `"+name+"` |"))
		if i < 0 {
			t.Errorf("docs/boards.md has no line for %s", name)
			continue
		}
		line, _, _ := bytes.Cut(text[i:], []byte("\n"))
		if archs := strings.Join(m.BoardArchitectures(name), ", "); !bytes.Contains(line, []byte("| "+archs+" |")) {
			t.Errorf("docs/boards.md has another architecture than %s for %s", archs, name)
		}
	}
	if n := bytes.Count(text, []byte("\n| `")); n != len(m.Boards()) {
		t.Errorf("docs/boards.md has %d boards, the program %d", n, len(m.Boards()))
	}
}
