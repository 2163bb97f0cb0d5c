package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSameBits: another folder and another revision give the same agent.
func TestSameBits(t *testing.T) {
	if testing.Short() {
		t.Skip("links a program twice")
	}
	if _, ok := targets[native()]; !ok {
		t.Skip("no agent for this machine's architecture")
	}
	node := programs[0]
	one, err := node.build("../..", native())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.CopyFS(filepath.Join(dir, "firstboot"), os.DirFS("../../firstboot")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if git, err := exec.LookPath("git"); err == nil {
		for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "another"}} {
			c := exec.Command(git, args...)
			c.Dir = dir
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("git %v: %v: %s", args, err, out)
			}
		}
	}
	two, err := node.build(dir, native())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Errorf("%d and %d bytes that are not the same", len(one), len(two))
	}
}
