package gpt

import (
	"bytes"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// TestMove: after the copy to a larger disk sgdisk and sfdisk find nothing to
// complain about, the partitions are as they were and the boot code too.
func TestMove(t *testing.T) {
	want := sample()
	f := newDisk(t, want.DiskSize)
	code := bytes.Repeat([]byte{0xcd}, 440)
	if _, err := f.WriteAt(code, 0); err != nil {
		t.Fatal(err)
	}
	if err := want.Write(f); err != nil {
		t.Fatal(err)
	}
	const larger = 1500*Align + 7*Sector
	if err := f.Truncate(larger); err != nil {
		t.Fatal(err)
	}
	for _, round := range []string{"once", "again"} {
		moved, err := Move(f, want.DiskSize, larger)
		if err != nil || !moved {
			t.Fatal(round, moved, err)
		}
		got, err := readAt(f, larger, larger/Sector-1)
		if err != nil {
			t.Fatalf("backup: %v", err)
		}
		first, err := readAt(f, larger, 1)
		if err != nil || !reflect.DeepEqual(got, first) || len(got.Partitions) != 3 || got.GUID != want.GUID {
			t.Errorf("%s: %+v, backup %+v, %v", round, first, got, err)
		}
	}
	left := make([]byte, 440)
	if _, err := f.ReadAt(left, 0); err != nil || !bytes.Equal(left, code) {
		t.Errorf("boot code changed (%v)", err)
	}
	for _, cmd := range [][]string{{"sgdisk", "-v"}, {"sfdisk", "--verify"}} {
		if _, err := exec.LookPath(cmd[0]); err != nil {
			missing(t, cmd[0]+" is not installed")
		}
		out, err := exec.Command(cmd[0], append(cmd[1:], f.Name())...).CombinedOutput()
		if low := strings.ToLower(string(out)); err != nil || !strings.Contains(low, "no problems found") && !strings.Contains(low, "no errors detected") {
			t.Errorf("%s: %v\n%s", cmd[0], err, out)
		}
	}
}

// TestMoveLeaves: what is no table, or has no room, is not touched.
func TestMoveLeaves(t *testing.T) {
	blank := newDisk(t, 64*Align)
	if moved, err := Move(blank, 64*Align, 64*Align); moved || err != nil {
		t.Errorf("a blank disk: %v, %v", moved, err)
	}
	tab := sample()
	f := newDisk(t, tab.DiskSize)
	if err := tab.Write(f); err != nil {
		t.Fatal(err)
	}
	if moved, err := Move(f, tab.DiskSize, tab.DiskSize-Align); moved || err == nil {
		t.Errorf("a disk that is too small: %v", err)
	}
	if got, err := Read(f, tab.DiskSize); err != nil || len(got.Partitions) != 3 {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}
