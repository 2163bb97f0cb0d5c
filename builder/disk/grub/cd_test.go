package grub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSameAsXorriso lets xorriso place the same image and compares all that
// it fills in, in the image and in the master boot record.
func TestSameAsXorriso(t *testing.T) {
	files := hostFiles(t)
	if _, err := exec.LookPath("xorriso"); err != nil {
		missing(t, "xorriso is not installed")
	}
	cd, err := BuildCD(files, Options{Modules: []string{"biosdisk", "iso9660", "search_fs_file"}, Prefix: "/boot/grub"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tree/eltorito.img": cd.Image, "mbr": cd.MBR} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-o", "x.iso", "--grub2-mbr", "mbr", "-b", "eltorito.img",
		"-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info", "tree")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("xorriso: %v\n%s", err, out)
	}
	iso, err := os.ReadFile(filepath.Join(dir, "x.iso"))
	if err != nil {
		t.Fatal(err)
	}
	// The boot record has the place of the catalog, its first entry the image's.
	catalog := int(binary.LittleEndian.Uint32(iso[17*cdSector+71:])) * cdSector
	at := int(binary.LittleEndian.Uint32(iso[catalog+32+8:])) * cdSector
	if err := cd.Place(int64(at)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(iso[at:][:len(cd.Image)], cd.Image) {
		t.Error("the image differs")
	}
	medium := disk(bytes.Clone(iso[:cdSector]))
	clear(medium[:bootWindowsNT])
	if err := cd.InstallMBR(medium); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(medium[:sector], iso[:sector]) {
		t.Error("the master boot record differs")
	}
	if err := cd.Place(1000); err == nil {
		t.Error("an image between sectors is taken")
	}
}

type disk []byte

func (d disk) ReadAt(p []byte, off int64) (int, error)  { return copy(p, d[off:]), nil }
func (d disk) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }

func TestCDErrors(t *testing.T) {
	files := hostFiles(t)
	for _, name := range []string{"cdboot.img", "boot_hybrid.img", "kernel.img"} {
		if _, err := BuildCD(func(n string) ([]byte, error) {
			if n == name {
				return nil, fs.ErrNotExist
			}
			return files(n)
		}, Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
