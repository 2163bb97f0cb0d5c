package ext4

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloudy/builder/tree"
)

// TestLikeMke2fs compares the superblock of an empty filesystem with that of
// mke2fs, as dumpe2fs prints it.
func TestLikeMke2fs(t *testing.T) {
	mke2fs := tool(t, "mke2fs")
	for _, size := range []int64{600 << 20, 2 << 30, 3<<30 + 13<<20, 16 << 30, 64 << 30, 200 << 30} {
		t.Run(fmt.Sprint(size>>20), func(t *testing.T) {
			o := testOptions(size)
			o.GrowTo = 1024 * size // below 1 GiB we leave more room than mke2fs
			ours := writeImage(t, &tree.Tree{}, o, 0)
			theirs := filepath.Join(t.TempDir(), "theirs")
			uuid := func(u [16]byte) string { return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]) }
			cmd := exec.Command(mke2fs, "-q", "-t", "ext4", "-b", "4096", "-i", "16384", "-L", o.Label, "-U", uuid(o.UUID),
				"-O", "^orphan_file,^metadata_csum_seed", "-E", "lazy_itable_init=0,hash_seed="+uuid(o.HashSeed), theirs, fmt.Sprint(size>>10)+"K")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("mke2fs: %v\n%s", err, out)
			}
			for _, l := range diff(header(t, theirs), header(t, ours)) {
				t.Error(l)
			}
		})
	}
}

// header is what dumpe2fs says of the superblock, without times and what
// follows from them.
func header(t testing.TB, image string) []string {
	t.Helper()
	out, err := exec.Command(tool(t, "dumpe2fs"), "-h", image).Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool {
		for _, name := range []string{"Filesystem created", "Last write time", "Last checked", "Lifetime writes", "Checksum:"} {
			if strings.HasPrefix(line, name) {
				return true
			}
		}
		return false
	})
}
