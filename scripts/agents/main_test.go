package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	node, inputs := programs[0], "0123456789abcdef"
	one, err := node.build("../..", native(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(t.TempDir(), "cloudy-node")
	if err := os.WriteFile(self, one, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(self, "--version").CombinedOutput(); err != nil || !strings.Contains(string(out), inputs[:12]) {
		t.Errorf("its version is %q: %v", out, err)
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
	two, err := node.build(dir, native(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Errorf("%d and %d bytes that are not the same", len(one), len(two))
	}
}
