package report

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestSumsAgreeWithCoreutils has sha256sum check what we write, and reads
// what sha256sum writes.
func TestSumsAgreeWithCoreutils(t *testing.T) {
	dir := t.TempDir()
	var files []File
	for _, name := range []string{"node.raw", "a b", `back\slash`, "new\nline", "ü"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Sum(name, strings.NewReader("content of "+name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	var sums bytes.Buffer
	if err := WriteSums(&sums, files); err != nil {
		t.Fatal(err)
	}
	got, err := ParseSums(bytes.NewReader(sums.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(files) {
		t.Fatalf("%+v", got)
	}
	if err := CheckSums(context.Background(), dir, got); err != nil {
		t.Error(err)
	}
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("no sha256sum: ", err)
	}
	check := exec.Command(tool, "--check", "--strict", "-")
	check.Dir, check.Stdin = dir, bytes.NewReader(sums.Bytes())
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	theirs := exec.Command(tool, "--", "a b", `back\slash`, "new\nline", "node.raw", "ü")
	theirs.Dir = dir
	out, err := theirs.Output()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseSums(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(parsed, got) {
		t.Errorf("sha256sum wrote\n%s", out)
	}

	if err := os.WriteFile(filepath.Join(dir, "node.raw"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "ü"))
	if err := CheckSums(context.Background(), dir, got); !errors.Is(err, ErrSum) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a changed and a missing file: %v", err)
	}
	if err := CheckSums(context.Background(), dir, []File{{Path: "../../etc/passwd"}}); err == nil || errors.Is(err, ErrSum) {
		t.Errorf("a name that leaves the folder: %v", err)
	}
}

func TestParseSumsRefuses(t *testing.T) {
	for _, text := range []string{"abc  x\n", strings.Repeat("z", 64) + "  x\n", strings.Repeat("a", 64) + "x y\n"} {
		if _, err := ParseSums(strings.NewReader(text)); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}
