package nodeagent

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"cloudy/builder/fail"
)

// TestEmbedded runs the agent that is built in.
func TestEmbedded(t *testing.T) {
	t.Setenv(FolderVar, "")
	list := Embedded()
	if len(list) == 0 {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal("no agent is built in; scripts/test builds it")
		}
		t.Skip("no agent is built in; make build puts it there")
	}
	for _, a := range list {
		r, err := a.Open()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "cloudy-node")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(f, r)
		if err != nil || n != a.Size {
			t.Errorf("%s: %d bytes of %d, %v", a.Arch, n, a.Size, err)
		}
		f.Close()
		r.Close()
		found, err := Find(a.Arch)
		if err != nil || found.SHA256 != a.SHA256 || found.From != "" {
			t.Errorf("%s: %+v, %v", a.Arch, found, err)
		}
		if other, err := file(path, a.Arch); err != nil || other.SHA256 != a.SHA256 {
			t.Errorf("%s: %+v, %v", a.Arch, other, err)
		}
		if a.Arch == runtime.GOARCH {
			if out, err := exec.Command(path, "--version").CombinedOutput(); err != nil || !strings.Contains(string(out), "cloudy-node") {
				t.Errorf("%v: %s", err, out)
			}
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(FolderVar, dir)
	_, err := Find("amd64")
	if !errors.Is(err, ErrNone) || fail.KindOf(err) != fail.User {
		t.Errorf("an empty folder: %v", err)
	}
	// A program for another processor, and no program at all.
	os.WriteFile(filepath.Join(dir, "cloudy-node-arm64"), []byte("#!/bin/sh\n"), 0o755)
	if _, err := Find("arm64"); err == nil || !strings.Contains(err.Error(), "no program for a node") {
		t.Errorf("a script: %v", err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cloudy-node-s390x")
	os.WriteFile(path, self, 0o755)
	if _, err := Find("s390x"); err == nil || !strings.Contains(err.Error(), "not for s390x") {
		t.Errorf("another processor's: %v", err)
	}
	// What is changed between looking and reading is noticed.
	path = filepath.Join(dir, "cloudy-node-"+runtime.GOARCH)
	os.WriteFile(path, self, 0o755)
	a, err := Find(runtime.GOARCH)
	if err != nil {
		t.Skip("this test is no static program")
	}
	if err := os.WriteFile(path, append(self, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := a.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("a changed file: %v", err)
	}
}

func TestNone(t *testing.T) {
	t.Setenv(FolderVar, "")
	_, err := Find("ppc64el")
	if !errors.Is(err, ErrNone) || !strings.Contains(fail.HintOf(err), "make build") || !strings.Contains(fail.HintOf(err), "cloudy-node-ppc64el") {
		t.Errorf("%v (%s)", err, fail.HintOf(err))
	}
}
