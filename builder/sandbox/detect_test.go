package sandbox

import (
	"os"
	"strings"
	"testing"

	"cloudy/builder/fail"
)

func TestDetect(t *testing.T) {
	sb := box(t)
	dir := t.TempDir()
	r := Detect(t.Context(), dir)
	if sb.Mode() == ModePlain {
		// This kernel would allow more than the suite's forced mode.
		if r.Mode == "" {
			t.Errorf("%+v", r)
		}
		return
	}
	if r.Mode != sb.Mode() || r.Err != nil || r.Overlay != nil || r.Seccomp != nil || r.Proc != nil {
		t.Errorf("%+v", r)
	}
	if r.KernelRelease == "" {
		t.Error("no kernel release")
	}
	if left := mountsBelow(t, dir); len(left) > 0 {
		t.Errorf("mounts are left: %v", left)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

func TestParseSubIDs(t *testing.T) {
	const file = "# comment\nann:100000:65536\n\n1000:200000:10\nbob:1:1\nann:x:1\nann:1\nann:400000:0\nann:300000:5\n"
	got, err := parseSubIDs(strings.NewReader(file), "ann", "1000")
	want := []IDRange{{0, 100000, 65536}, {0, 200000, 10}, {0, 300000, 5}}
	if err != nil || len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v %v", got, err)
	}
}

func TestSpread(t *testing.T) {
	got := spread(1000, []IDRange{{0, 100000, 65000}, {0, 300000, 65536}, {0, 500000, 5}})
	want := []IDRange{{0, 1000, 1}, {1, 100000, 65000}, {65001, 300000, 535}}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestSubIDsTooFew(t *testing.T) {
	file := t.TempDir() + "/subuid"
	write(t, file, "4321:100000:1000\n")
	_, err := SubIDs(file, 4321)
	if fail.KindOf(err) != fail.Host || !strings.Contains(err.Error(), "only 1000") || fail.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if _, err := SubIDs(file+".none", 4321); fail.KindOf(err) != fail.Host {
		t.Errorf("got %v", err)
	}
}
