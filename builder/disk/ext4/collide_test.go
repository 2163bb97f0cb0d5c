package ext4

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cloudy/builder/tree"
)

// TestCollision puts two names of the same hash at the end of one leaf and
// the start of the next: the index must say that the hash goes on.
func TestCollision(t *testing.T) {
	o := testOptions(64 << 20)
	var seed [4]uint32
	for i := range seed {
		seed[i] = le.Uint32(o.HashSeed[4*i:])
	}
	name := func(i int) string { return fmt.Sprintf("c%07d", i) }
	byHash := map[uint32]int{}
	var pair [2]int
	var hash uint32
	for i := 0; pair[1] == 0; i++ {
		h, _ := halfMD4(name(i), seed)
		if first, ok := byHash[h]; ok && h > 1<<30 {
			pair, hash = [2]int{first, i}, h
		}
		byHash[h] = i
	}
	below := leafFill/entryLen(8) - 1
	tr := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, MTime: epoch, Mode: 0o755}, {Path: "d", Type: tree.Dir, MTime: epoch, Mode: 0o755}}}
	add := func(i int) {
		tr.Entries = append(tr.Entries, tree.Entry{Path: "d/" + name(i), Type: tree.File, MTime: epoch, Mode: 0o644})
	}
	add(pair[0])
	add(pair[1])
	above := 0
	for i := 0; below > 0 || above < 100; i++ {
		switch h, _ := halfMD4(name(i), seed); {
		case h < hash && below > 0:
			below--
			add(i)
		case h > hash && above < 100:
			above++
			add(i)
		}
	}
	tr.Sort()
	p, err := newPlan(tr, o)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := findEntry(p.entries, "d")
	d, err := p.directory(i)
	if err != nil {
		t.Fatal(err)
	}
	if at := d.leaves[1]; d.names[at-1].major != hash || d.names[at].major != hash {
		t.Fatal("the pair does not stand astride two leaves")
	}
	path := writeImage(t, tr, o, 0)
	fsck(t, path, 0)
	dir := mount(t, path, 0)
	for _, e := range tr.Entries {
		if _, err := os.Lstat(filepath.Join(dir, e.Path)); err != nil {
			t.Error(err)
		}
	}
	unmount(t, dir)
}
