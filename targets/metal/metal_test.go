package metal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"cloudy/builder/disk/bmap"
	"cloudy/builder/disk/gpt"
	"cloudy/builder/tree"
	"cloudy/targets/internal/targettest"
)

// root has what the target looks at, and boots by UEFI alone.
func root() *tree.Tree {
	return targettest.Debian(map[string]string{
		"usr/lib/shim/shimx64.efi.signed": "shim", "usr/lib/shim/mmx64.efi.signed": "mok",
		"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": "grub", "boot/initrd.img-6": "initrd",
	})
}

// TestDisk holds the packed disks against the raw one, and lets bmaptool
// write it onto a medium that has been used before.
func TestDisk(t *testing.T) {
	targettest.Need(t, "bmaptool", "bmap-tools")
	targettest.Need(t, "e2fsck", "e2fsprogs")
	targettest.Need(t, "fsck.vfat", "dosfstools")
	files := targettest.Build(t, Target{}, root(), Options{Formats: []string{Raw, RawZstd, RawXZ, RawGzip}, Boot: []string{"uefi"}, Headroom: 16 << 20, Grow: true})
	if len(files) != 5 {
		t.Fatalf("artefacts %v", files)
	}
	raw := files["node-amd64-x.raw"]
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	for format, tool := range map[string]string{RawZstd: "zstd", RawXZ: "xz", RawGzip: "gzip"} {
		targettest.Need(t, tool, tool)
		out := filepath.Join(t.TempDir(), "unpacked")
		targettest.Run(t, "sh", "-c", tool+` -dc "$0" >"$1"`, files["node-amd64-x."+format], out)
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s unpacks to something else", format)
		}
	}

	medium := filepath.Join(t.TempDir(), "medium")
	if err := os.WriteFile(medium, bytes.Repeat([]byte{0xa5}, len(want)), 0o644); err != nil {
		t.Fatal(err)
	}
	targettest.Run(t, "bmaptool", "copy", "--bmap", files["node-amd64-x.bmap"], files["node-amd64-x.raw.zst"], medium)
	f, err := os.Open(medium)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.Read(f, int64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range table.Partitions {
		part := filepath.Join(t.TempDir(), p.Name)
		data := make([]byte, p.Size)
		if _, err := f.ReadAt(data, p.Start); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(part, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if p.Name == "esp" {
			targettest.Run(t, "fsck.vfat", "-n", part)
		} else {
			targettest.Run(t, "e2fsck", "-fn", part)
			journalIsEmpty(t, part)
		}
	}
	m, err := os.Open(files["node-amd64-x.bmap"])
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b, err := bmap.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.Mapped() * b.BlockSize; n > int64(len(want))/2 {
		t.Errorf("%d of %d bytes are mapped", n, len(want))
	}
}

// journalIsEmpty: old blocks in the journal could pass for new ones after a
// crash, so that none may be left of what was on the medium.
func journalIsEmpty(t *testing.T, part string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "journal")
	targettest.Run(t, "debugfs", "-R", "dump <8> "+out, part)
	journal, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(journal) < 1<<20 || bytes.Contains(journal, []byte{0xa5, 0xa5, 0xa5, 0xa5}) {
		t.Errorf("the journal of %d bytes has old blocks", len(journal))
	}
}

func TestErrors(t *testing.T) {
	targettest.Refused(t, Target{}, root(), Options{Formats: []string{"raw.bz2"}}, `unknown format "raw.bz2"`)
	targettest.Refused(t, Target{}, root(), Options{DiskSize: 70 << 20, Boot: []string{"uefi"}}, "too small")
	targettest.Refused(t, Target{}, targettest.Tree(nil), Options{}, "no kernel")
	targettest.Cancelled(t, Target{}, root(), Options{Boot: []string{"uefi"}})
	if err := (Target{}).Validate("riscv64", nil); err == nil {
		t.Error("riscv64 is taken")
	}
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, root(), Options{Boot: []string{"uefi"}})
}
