package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	for _, step := range []struct {
		text string
		mode fs.FileMode
		want bool
	}{{"x", 0o600, true}, {"x", 0o600, false}, {"x", 0o644, true}, {"y", 0o644, true}} {
		changed, err := Update(path, []byte(step.text), step.mode)
		if err != nil || changed != step.want {
			t.Errorf("%+v: %v, %v", step, changed, err)
		}
		data, _ := os.ReadFile(path)
		info, _ := os.Stat(path)
		if string(data) != step.text || info.Mode() != step.mode {
			t.Errorf("%+v: %q, %v", step, data, info.Mode())
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
}

// TestFailedWrite: what cannot be put in place leaves nothing behind.
func TestFailedWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("x"), 0o600); err == nil {
		t.Error("a folder was overwritten")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
}

func TestClean(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".a.123.cloudy-tmp", "keep", ".keep"} {
		os.WriteFile(filepath.Join(dir, name), nil, 0o600)
	}
	if err := Clean(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
	if err := Clean(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}
