package rootfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestForeignArchitectures: dpkg itself says which foreign architectures it
// takes packages of.
func TestForeignArchitectures(t *testing.T) {
	root := t.TempDir()
	jobs := func(archs ...string) []*job {
		var out []*job
		for _, a := range archs {
			out = append(out, &job{Package: Package{Name: "p", Architecture: a}})
		}
		return out
	}
	for _, tc := range []struct {
		jobs []*job
		want string
	}{
		{jobs("amd64", "all"), "amd64\n"},
		{jobs("riscv64", "amd64", "armhf", "armhf"), "amd64\narmhf\nriscv64\n"},
		{jobs("i386"), "amd64\narmhf\nriscv64\ni386\n"}, // a later batch
		{jobs("armhf"), "amd64\narmhf\nriscv64\ni386\n"},
	} {
		db, err := openDatabase(root, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if err := db.addArchitectures(tc.jobs); err != nil {
			t.Fatal(err)
		}
		db.close()
		got, err := os.ReadFile(filepath.Join(root, adminDir, "arch"))
		if err != nil || string(got) != tc.want {
			t.Errorf("%q, %v, want %q", got, err, tc.want)
		}
	}
	if _, err := exec.LookPath("dpkg"); err != nil {
		skip(t, "dpkg is not installed")
	}
	out, err := exec.Command("dpkg", "--root="+root, "--print-foreign-architectures").CombinedOutput()
	if err != nil || string(out) != "armhf\nriscv64\ni386\n" {
		t.Errorf("dpkg says %q, %v", out, err)
	}
}
