package qemu

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloudy/builder/disk/fat"
	"cloudy/builder/disk/mbr"
	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// deviceTree is one with the nodes / and /chosen, which has the property
// "stdout-path", as dtc writes it.
func deviceTree(t *testing.T) []byte {
	t.Helper()
	words := func(list ...uint32) (out []byte) {
		for _, w := range list {
			out = binary.BigEndian.AppendUint32(out, w)
		}
		return out
	}
	names := []byte("stdout-path\x00")
	nodes := slices.Concat(words(fdtBegin, 0, fdtBegin), []byte("chosen\x00\x00"), words(fdtProp, 8, 0), []byte("serial1\x00"), words(2, 2, 9))
	h := fdtHeader{Magic: fdtMagic, Reserved: 40, Struct: 56, Version: 17, Compatible: 16, StringsSize: uint32(len(names)), StructSize: uint32(len(nodes))}
	h.Strings = h.Struct + h.StructSize
	h.Size = h.Strings + h.StringsSize
	var b bytes.Buffer
	if err := binary.Write(&b, binary.BigEndian, h); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(b.Bytes(), make([]byte, 16), nodes, names)
}

func TestChosenProperty(t *testing.T) {
	old := deviceTree(t)
	got, err := chosenProperty(old, "rng-seed", []byte("seeds"))
	if err != nil {
		t.Fatal(err)
	}
	var h fdtHeader
	if err := binary.Read(bytes.NewReader(got), binary.BigEndian, &h); err != nil {
		t.Fatal(err)
	}
	names := got[h.Strings : h.Strings+h.StringsSize]
	nodes := got[h.Struct : h.Struct+h.StructSize]
	if int(h.Size) != len(got) || string(names) != "stdout-path\x00rng-seed\x00" || !bytes.Equal(got[h.Reserved:h.Struct], make([]byte, 16)) {
		t.Errorf("%+v, names %q", h, names)
	}
	prop := []byte("\x00\x00\x00\x03\x00\x00\x00\x05\x00\x00\x00\x0cseeds\x00\x00\x00")
	before, after, ok := bytes.Cut(nodes, prop)
	if !ok || !bytes.HasSuffix(before, []byte("chosen\x00\x00")) || !bytes.Equal(append(bytes.Clone(before), after...), old[56:56+len(nodes)-len(prop)]) {
		t.Errorf("nodes %q", nodes)
	}
	// Twice is fine, too: the first of two counts.
	if _, err := chosenProperty(got, "rng-seed", []byte("more")); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "no magic": make([]byte, 100), "cut": old[:60], "no chosen": bytes.Replace(old, []byte("chosen"), []byte("chusen"), 1),
	} {
		if _, err := chosenProperty(bad, "rng-seed", nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// raspberryDisk is a card with these files on its first partition.
func raspberryDisk(t *testing.T, size int64, files map[string]string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "card.raw")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	const mib = 1 << 20
	table := mbr.Table{Signature: 1, DiskSize: size, Partitions: []mbr.Partition{{Number: 1, Type: mbr.FAT32LBA, Start: 4 * mib, Size: 34 * mib}}}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	ed := (&tree.Tree{}).Edit(time.Unix(1e9, 0))
	for name, text := range files {
		ed.Text(name, text, 0o644)
	}
	if _, err := fat.Write(t.Context(), f, 4*mib, ed.Tree(), fat.Options{Size: 34 * mib, Label: "CARD", Epoch: time.Unix(1e9, 0)}); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestRaspberry reads a card as the board's firmware does.
func TestRaspberry(t *testing.T) {
	good := map[string]string{
		"config.txt":  "# remark\narm_64bit=1\nkernel=vmlinuz-6\ninitramfs initrd.img-6\n",
		"cmdline.txt": "root=UUID=1 console=ttyS1\n", "vmlinuz-6": "kernel", "initrd.img-6": "initramfs", raspberryTree: string(deviceTree(t)),
	}
	c := Config{Arch: "arm64", Firmware: RaspberryPi, Disk: raspberryDisk(t, 64<<20, good), Snapshot: true}
	c, m, err := c.resolve()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args, err := c.arguments(t.Context(), m, dir)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Join(args, " ")
	for _, want := range []string{
		"-machine raspi3b", "-append root=UUID=1 console=ttyS1", "if=sd,format=raw,snapshot=on,file=" + c.Disk, "-serial null -serial stdio", "-no-reboot", "mac=b8:27:eb:",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %s", want, line)
		}
	}
	for flag, want := range map[string]string{"-kernel": "kernel", "-initrd": "initramfs", "-dtb": "rng-seed\x00"} {
		data, err := os.ReadFile(args[slices.Index(args, flag)+1])
		if err != nil || !strings.HasSuffix(string(data), want) {
			t.Errorf("%s: %q, %v", flag, data, err)
		}
	}
	for _, missing := range []string{"config.txt", "cmdline.txt", "vmlinuz-6", raspberryTree} {
		files := map[string]string{}
		for name, text := range good {
			if name != missing {
				files[name] = text
			}
		}
		c.Disk = raspberryDisk(t, 64<<20, files)
		if _, err := c.arguments(t.Context(), m, dir); !strings.Contains(err.Error(), missing) || fail.KindOf(err) != fail.User {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	c.Disk = raspberryDisk(t, 65<<20, good)
	if _, err := c.arguments(t.Context(), m, dir); err == nil || !strings.Contains(err.Error(), "power of two, here 134217728") {
		t.Errorf("a card of 65 MiB: %v", err)
	}
	c.Disk = filepath.Join(dir, "none")
	if _, err := c.arguments(t.Context(), m, dir); err == nil || fail.KindOf(err) != fail.User {
		t.Errorf("no card: %v", err)
	}
	if _, _, err := (Config{Arch: "amd64", Firmware: RaspberryPi}).resolve(); err == nil {
		t.Error("a Raspberry Pi of amd64")
	}
}

func TestCardSize(t *testing.T) {
	for disk, want := range map[int64]int64{1 << 30: 1 << 30, 1<<30 + 1: 2 << 30, 1475346432: 2 << 30} {
		if got := CardSize(disk); got != want {
			t.Errorf("%d: %d, want %d", disk, got, want)
		}
	}
}
