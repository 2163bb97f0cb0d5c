package grub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz/lzma"
)

// missing skips the test, or fails it where everything has to be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// grubDir is where the files of grub-pc-bin are: in the root that
// CLOUDY_TEST_ROOT names, or on the host.
func grubDir() string { return filepath.Join("/", os.Getenv("CLOUDY_TEST_ROOT"), Dir) }

func hostFiles(t *testing.T) Files {
	t.Helper()
	dir := grubDir()
	if _, err := os.Stat(filepath.Join(dir, "kernel.img")); err != nil {
		missing(t, "grub-pc-bin is not installed")
	}
	return func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
}

var full = []string{"biosdisk", "part_gpt", "part_msdos", "ext2", "fat", "normal", "configfile", "linux", "search",
	"search_fs_uuid", "search_label", "serial", "terminal", "echo", "test", "ls", "boot"}

// unpack is the way back: the decompressor and the payload of a core image.
func unpack(t *testing.T, core []byte, decompSize int) (decomp, payload []byte) {
	t.Helper()
	le := binary.LittleEndian
	decomp = bytes.Clone(core[sector : sector+decompSize])
	packed := core[sector+decompSize:][:le.Uint32(decomp[decompCompressed:])]
	size := le.Uint32(decomp[decompUncompressed:])
	head := []byte{3 + 9*(0+5*2), 0, 0, 1, 0} // lc=3 lp=0 pb=2, 64 KiB
	head = le.AppendUint64(head, uint64(size))
	r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err = io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(payload) != int(size) {
		t.Fatalf("payload has %d bytes, its header says %d", len(payload), size)
	}
	for _, i := range []int{decompCompressed, decompUncompressed} {
		le.PutUint32(decomp[i:], 0)
	}
	return decomp, payload
}

// TestSameAsMkimage holds the image against the one of grub-mkimage: all but
// the choices of the compressor is the same, byte for byte.
func TestSameAsMkimage(t *testing.T) {
	files := hostFiles(t)
	if _, err := exec.LookPath("grub-mkimage"); err != nil {
		missing(t, "grub-mkimage is not installed")
	}
	decomp, err := files("lzma_decompress.img")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		opts Options
	}{
		{"bare", Options{Modules: []string{"biosdisk"}, Prefix: "/boot/grub"}},
		{"config", Options{Modules: []string{"biosdisk", "part_gpt", "ext2", "search_fs_uuid"},
			Config: "search.fs_uuid 0 root\nset prefix=($root)/boot/grub\n", Prefix: "(,gpt3)/boot/grub"}},
		{"full", Options{Modules: full, Prefix: "(,gpt3)/boot/grub"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "core.img")
			args := []string{"-d", grubDir(), "-O", "i386-pc", "-p", tc.opts.Prefix, "-o", out}
			if tc.opts.Config != "" {
				cfg := filepath.Join(dir, "cfg")
				if err := os.WriteFile(cfg, []byte(tc.opts.Config), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-c", cfg)
			}
			if msg, err := exec.Command("grub-mkimage", append(args, tc.opts.Modules...)...).CombinedOutput(); err != nil {
				t.Fatalf("grub-mkimage: %v: %s", err, msg)
			}
			want, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			im, err := Build(files, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("core.img: %d bytes, grub-mkimage %d", len(im.Core), len(want))
			if len(im.Core) > len(want)*6/5+sector {
				t.Errorf("compressed much worse than grub-mkimage")
			}
			wd, wp := unpack(t, want, len(decomp))
			gd, gp := unpack(t, im.Core, len(decomp))
			if !bytes.Equal(wd, gd) {
				t.Error("decompressor differs")
			}
			if !bytes.Equal(wp, gp) {
				t.Errorf("payload differs: %d bytes, want %d", len(gp), len(wp))
			}
			if !bytes.Equal(want[:blockLen], im.Core[:blockLen]) || !bytes.Equal(want[blockSeg:sector], im.Core[blockSeg:sector]) {
				t.Error("loader's sector differs")
			}
			again, err := Build(files, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Core, im.Core) {
				t.Error("two builds differ")
			}
		})
	}
}

// TestXZReadsIt lets xz, another LZMA decoder, read our stream.
func TestXZReadsIt(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		missing(t, "xz is not installed")
	}
	payload := bytes.Repeat([]byte("all work and no play makes a dull image\n\x00\x01"), 3000)
	packed, err := compress(payload)
	if err != nil {
		t.Fatal(err)
	}
	in := []byte{93, 0, 0, 1, 0}
	in = binary.LittleEndian.AppendUint64(in, uint64(len(payload)))
	cmd := exec.Command("xz", "--format=lzma", "-dc")
	cmd.Stdin = bytes.NewReader(append(in, packed...))
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, payload) {
		t.Error("xz reads something else")
	}
}

func TestInstall(t *testing.T) {
	im, err := Build(hostFiles(t), Options{Modules: []string{"biosdisk"}, Prefix: "/boot/grub"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk")
	before := bytes.Repeat([]byte{0xa5}, sector)
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const lba = 2048
	if err := im.Install(f, lba, 2048); err != nil {
		t.Fatal(err)
	}
	mbr := make([]byte, sector)
	if _, err := f.ReadAt(mbr, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mbr[3:bootBPBEnd], before[3:bootBPBEnd]) || !bytes.Equal(mbr[0x1b8:0x1fe], before[0x1b8:0x1fe]) {
		t.Error("bytes that belong to others were overwritten")
	}
	le := binary.LittleEndian
	if got := le.Uint64(mbr[bootKernelSector:]); got != lba {
		t.Errorf("boot sector loads core.img from %d, want %d", got, lba)
	}
	core := make([]byte, len(im.Core))
	if _, err := f.ReadAt(core, lba*sector); err != nil {
		t.Fatal(err)
	}
	if got := le.Uint64(core[blockStart:]); got != lba+1 {
		t.Errorf("blocklist begins at %d, want %d", got, lba+1)
	}
	if got := int(le.Uint16(core[blockLen:])); got != len(core)/sector-1 {
		t.Errorf("blocklist has %d sectors, want %d", got, len(core)/sector-1)
	}
	if err := im.Install(f, lba, 10); !errors.Is(err, ErrTooBig) {
		t.Errorf("a partition of 10 sectors: %v", err)
	}
}

func TestBuildErrors(t *testing.T) {
	files := hostFiles(t)
	with := func(name string, data []byte) Files {
		return func(n string) ([]byte, error) {
			if n != name {
				return files(n)
			}
			if data == nil {
				return nil, fs.ErrNotExist
			}
			return data, nil
		}
	}
	for _, tc := range []struct {
		name    string
		files   Files
		modules []string
		want    string
	}{
		{"unknown module", files, []string{"nonesuch"}, `no module "nonesuch"`},
		{"no kernel", with("kernel.img", nil), []string{"biosdisk"}, "kernel.img"},
		{"damaged kernel", with("kernel.img", []byte("\x7fELF")), []string{"biosdisk"}, "kernel.img"},
		{"damaged boot sector", with("boot.img", make([]byte, 512)), []string{"biosdisk"}, "boot.img"},
		{"damaged loader", with("diskboot.img", make([]byte, 512)), []string{"biosdisk"}, "diskboot.img"},
		{"decompressor too short", with("lzma_decompress.img", []byte{1}), []string{"biosdisk"}, "lzma_decompress.img"},
		{"huge module", with("biosdisk.mod", noise(1<<20)), []string{"biosdisk"}, "too big"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Build(tc.files, Options{Modules: tc.modules, Prefix: "/boot/grub"})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Build(with("ext2.mod", nil), Options{Modules: []string{"ext2"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// noise is n bytes that do not compress, the same in each run.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
