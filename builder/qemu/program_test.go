package qemu

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestCrash tells a QEMU that died of itself from one that was ended.
func TestCrash(t *testing.T) {
	for script, want := range map[string]bool{
		"kill -ABRT $$": true, "kill -SEGV $$": true, "kill -TERM $$": false, "exit 1": false, "exit 0": false,
	} {
		err := onHost(t.Context(), Program{Args: []string{"sh", "-c", "ulimit -c 0; " + script}, Stdout: io.Discard, Stderr: io.Discard})
		if errors.Is(err, ErrCrashed) != want {
			t.Errorf("%s: %v", script, err)
		}
		if (err == nil) != (script == "exit 0") {
			t.Errorf("%s: %v", script, err)
		}
	}
	if err := Crash(io.EOF, syscall.SIGKILL); !errors.Is(err, io.EOF) || errors.Is(err, ErrCrashed) {
		t.Errorf("killed: %v", err)
	}
}

// TestRunElsewhere: whoever runs QEMU is told what it needs of the host, and
// its end is the machine's.
func TestRunElsewhere(t *testing.T) {
	disk := bootSector(t, 0xf4)
	for _, accel := range []string{"tcg", "kvm"} {
		var got Program
		c := Config{Disk: disk, Arch: "amd64", Accel: accel, Forwards: []Forward{{Host: 2222, Guest: 22}}}
		c.Run = func(_ context.Context, p Program) error {
			if slices.Contains(p.Args, "--version") {
				return nil
			}
			got = p
			_, _ = io.WriteString(p.Stderr, "out of beer\n")
			return Crash(errors.New("aborted"), syscall.SIGABRT)
		}
		m, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.WaitFor(t.Context(), "never", time.Minute)
		m.Stop()
		if !errors.Is(err, ErrEnded) || !errors.Is(err, ErrCrashed) {
			t.Errorf("error %v", err)
		}
		if m.Accel != accel || !got.Network || !slices.Contains(got.Files, disk) || slices.Contains(got.Files, kvmDevice) != (accel == "kvm") {
			t.Errorf("%s: %+v", accel, got)
		}
		for _, f := range got.Files {
			if !filepath.IsAbs(f) {
				t.Errorf("%s is not absolute", f)
			}
		}
		if err := m.Wait(t.Context()); err == nil || err.Error() != "out of beer" {
			t.Errorf("QEMU's own words are %v", err)
		}
	}
}
