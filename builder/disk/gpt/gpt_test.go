package gpt

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func id(n byte) uuid.UUID { return uuid.UUID{0xc1, 0x0d, 6: 0x40, 8: 0x80, 15: n} }

func sample() *Table {
	const mib = Align
	return &Table{GUID: id(0xff), DiskSize: 1024 * mib, Partitions: []Partition{
		{Number: 14, Name: "bios", Type: uuid.MustParse(BIOSBoot), GUID: id(1), Start: mib, Size: mib},
		{Number: 15, Name: "esp", Type: uuid.MustParse(ESP), GUID: id(2), Start: 2 * mib, Size: 128 * mib},
		{Number: 1, Name: "root ñ", Type: uuid.MustParse(RootAMD64), GUID: id(3), Start: 130 * mib, Size: 893 * mib, Attributes: GrowFlag},
	}}
}

func newDisk(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWriteRead(t *testing.T) {
	want := sample()
	f := newDisk(t, want.DiskSize)
	code := bytes.Repeat([]byte{0xcd}, 440)
	if _, err := f.WriteAt(code, 0); err != nil {
		t.Fatal(err)
	}
	if err := want.Write(f); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 440)
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, code) {
		t.Errorf("boot code changed (%v)", err)
	}
	// Numbers order the entries on disk.
	sorted := sample()
	p := sorted.Partitions
	sorted.Partitions = []Partition{p[2], p[0], p[1]}
	check := func(what string) {
		t.Helper()
		read, err := Read(f, want.DiskSize)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(read, sorted) {
			t.Errorf("%s:\n got %+v\nwant %+v", what, read, sorted)
		}
	}
	check("read back")

	for _, cmd := range [][]string{{"sgdisk", "-v"}, {"sfdisk", "--verify"}} {
		if _, err := exec.LookPath(cmd[0]); err != nil {
			missing(t, cmd[0]+" is not installed")
		}
		out, err := exec.Command(cmd[0], append(cmd[1:], f.Name())...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd[0], err, out)
		}
		low := strings.ToLower(string(out))
		if !strings.Contains(low, "no problems found") && !strings.Contains(low, "no errors detected") {
			t.Errorf("%s: %s", cmd[0], out)
		}
	}
	if _, err := f.WriteAt(make([]byte, 100), Sector); err != nil {
		t.Fatal(err)
	}
	check("read from the backup")
}

func TestSameBits(t *testing.T) {
	var images [2][]byte
	for i := range images {
		tab := sample()
		tab.DiskSize, tab.Partitions = 8*Align, tab.Partitions[:1]
		f := newDisk(t, tab.DiskSize)
		if err := tab.Write(f); err != nil {
			t.Fatal(err)
		}
		var err error
		if images[i], err = os.ReadFile(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two runs differ")
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Table)
		want   string
	}{
		{"fine", func(*Table) {}, ""},
		{"overlap", func(t *Table) { t.Partitions[1].Size += Align }, "overlap"},
		{"same place", func(t *Table) { t.Partitions[0] = t.Partitions[1]; t.Partitions[0].Number = 1 }, "overlap"},
		{"over the backup", func(t *Table) { t.Partitions[2].Size += Align }, "outside"},
		{"over the header", func(t *Table) { t.Partitions[0].Start = 0 }, "outside"},
		{"negative", func(t *Table) { t.Partitions[0].Start = -Align }, "outside"},
		{"overflow", func(t *Table) { t.Partitions[0].Size = 1<<63 - Sector }, "outside"},
		{"unaligned", func(t *Table) { t.Partitions[0].Start += Sector }, "aligned"},
		{"half a sector", func(t *Table) { t.Partitions[0].Size -= 256 }, "aligned"},
		{"empty", func(t *Table) { t.Partitions[0].Size = 0 }, "aligned"},
		{"long name", func(t *Table) { t.Partitions[0].Name = strings.Repeat("𝄞", 19) }, "38 UTF-16 units"},
		{"number", func(t *Table) { t.Partitions[0].Number = 129 }, "number 129"},
		{"twice", func(t *Table) { t.Partitions[0].Number = 15 }, "twice"},
		{"guid twice", func(t *Table) { t.Partitions[0].GUID = id(2) }, "GUID of partition"},
		{"no type", func(t *Table) { t.Partitions[0].Type = uuid.Nil }, "no type"},
		{"no disk guid", func(t *Table) { t.GUID = uuid.Nil }, "no disk GUID"},
		{"tiny disk", func(t *Table) { t.DiskSize = Align }, "disk of"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tab := sample()
			tc.change(tab)
			err := tab.Validate()
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	disk := &memory{make([]byte, 4*Align)}
	tab := sample()
	tab.DiskSize, tab.Partitions = int64(len(disk.b)), tab.Partitions[:1]
	if err := tab.Write(disk); err != nil {
		f.Fatal(err)
	}
	f.Add(disk.b[:40*Sector])
	f.Fuzz(func(t *testing.T, b []byte) {
		tab, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, p := range tab.Partitions {
			if p.Start < 0 || p.Size <= 0 || p.End() > int64(len(b)) {
				t.Errorf("partition outside of the disk: %+v", p)
			}
		}
	})
}

type memory struct{ b []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m.b[off:]), nil }
func (m *memory) WriteAt(p []byte, off int64) (int, error) { return copy(m.b[off:], p), nil }
