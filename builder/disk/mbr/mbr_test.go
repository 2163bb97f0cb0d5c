package mbr

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const mib = 1 << 20

func sample() *Table {
	return &Table{Signature: 0xc10d0001, DiskSize: 64 * mib, Partitions: []Partition{
		{Number: 1, Type: FAT32LBA, Start: 4 * mib, Size: 33 * mib},
		{Number: 2, Type: Linux, Bootable: true, Start: 37 * mib, Size: 27 * mib},
	}}
}

func TestWriteRead(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := sample()
	code := bytes.Repeat([]byte{0xcd}, signatureAt)
	if err := errors.Join(f.Truncate(want.DiskSize), func() error { _, err := f.WriteAt(code, 0); return err }(), want.Write(f)); err != nil {
		t.Fatal(err)
	}
	got, err := Read(f, want.DiskSize)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	b := make([]byte, signatureAt)
	if _, err := f.ReadAt(b, 0); err != nil || !bytes.Equal(b, code) {
		t.Errorf("boot code changed (%v)", err)
	}
	if _, err := exec.LookPath("sfdisk"); err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("no sfdisk")
		}
		t.Skip("no sfdisk")
	}
	out, err := exec.Command("sfdisk", "--verify", f.Name()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors detected") {
		t.Errorf("sfdisk --verify: %v\n%s", err, out)
	}
	dump, err := exec.Command("sfdisk", "--dump", f.Name()).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(dump)), " ")
	for _, line := range []string{
		"label: dos", "label-id: 0xc10d0001", "start= 8192, size= 67584, type=c", "start= 75776, size= 55296, type=83, bootable",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("sfdisk does not see %q:\n%s", line, dump)
		}
	}
	if got := want.PartUUID(2); got != "c10d0001-02" {
		t.Errorf("PARTUUID %s", got)
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Table)
		want   string
	}{
		{"fine", func(*Table) {}, ""},
		{"overlap", func(t *Table) { t.Partitions[0].Size += mib }, "overlap"},
		{"beyond", func(t *Table) { t.Partitions[1].Size += mib }, "outside"},
		{"overflow", func(t *Table) { t.Partitions[1].Size = 1<<63 - Sector }, "not possible"},
		{"first sector", func(t *Table) { t.Partitions[0].Start = 0 }, "outside"},
		{"half a sector", func(t *Table) { t.Partitions[0].Size -= 256 }, "not possible"},
		{"number", func(t *Table) { t.Partitions[0].Number = 5 }, "number 5"},
		{"twice", func(t *Table) { t.Partitions[0].Number = 2 }, "twice"},
		{"no type", func(t *Table) { t.Partitions[0].Type = 0 }, "no type"},
		{"no signature", func(t *Table) { t.Signature = 0 }, "no signature"},
		{"2 TiB", func(t *Table) { t.DiskSize, t.Partitions[1].Size = 1<<42, 1<<41+Sector }, "not possible"},
	} {
		tab := sample()
		tc.change(tab)
		err := tab.Validate()
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	var disk memory
	if err := sample().Write(&disk); err != nil {
		f.Fatal(err)
	}
	f.Add(disk[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		const size = 64 * mib
		tab, err := Read(bytes.NewReader(b), size)
		if err != nil {
			return
		}
		for _, p := range tab.Partitions {
			if p.Start < Sector || p.Size <= 0 || p.End() > size {
				t.Errorf("partition outside of the disk: %+v", p)
			}
		}
	})
}

type memory [Sector]byte

func (m *memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }
