package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloudy/builder/fail"
)

func TestOutputAndStatus(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	var out, errs bytes.Buffer
	err := s.Run(t.Context(), Command{
		Args:  []string{"sh", "-c", "cat; echo oops >&2; exit 3"},
		Stdin: strings.NewReader("hello\n"), Stdout: &out, Stderr: &errs,
	})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || exit.Signal != 0 {
		t.Fatalf("got %v, want exit status 3", err)
	}
	if out.String() != "hello\n" || errs.String() != "oops\n" {
		t.Errorf("stdout %q, stderr %q", out.String(), errs.String())
	}
	if !strings.Contains(exit.Output, "oops") || fail.KindOf(err) != fail.Build {
		t.Errorf("error lacks output or kind: %q %v", exit.Output, fail.KindOf(err))
	}
	err = s.Run(t.Context(), Command{Args: []string{"sh", "-c", "kill -9 $$"}})
	if !errors.As(err, &exit) || exit.Signal != syscall.SIGKILL {
		t.Errorf("got %v, want a signal", err)
	}
	if err := s.Run(t.Context(), Command{Args: []string{"nonsuch"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: got %v", err)
	}
	if err := s.Run(t.Context(), Command{Args: []string{"true"}, Dir: "/nonsuch"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: got %v", err)
	}
}

func TestTimeout(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	// On a busy machine a short limit ends it before it has begun.
	for limit := 300 * time.Millisecond; ; limit *= 2 {
		err := s.Run(t.Context(), Command{Args: []string{"sh", "-c", "echo begun; sleep 1000 & sleep 1000"}, Timeout: limit})
		var to *TimeoutError
		if !errors.As(err, &to) || !strings.Contains(err.Error(), "sleep 1000") {
			t.Fatalf("got %v", err)
		}
		if to.Output == "begun" {
			break
		}
		if to.Output != "" || limit > patience {
			t.Fatalf("output %q", to.Output)
		}
	}
	if err := s.Run(t.Context(), Command{Args: []string{"true"}}); err != nil {
		t.Errorf("the session is unusable afterwards: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LEAK", "leaked")
	s := open(t, newRoot(t), Options{Env: []string{"DEBIAN_FRONTEND=noninteractive"}})
	var out bytes.Buffer
	if err := s.Run(t.Context(), Command{Args: []string{"env"}, Env: []string{"HOME=/x", "TERM"}, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	want := "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/x\nLC_ALL=C.UTF-8\nDEBIAN_FRONTEND=noninteractive\n"
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

func TestManyCommands(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	for range 200 {
		if err := s.Run(t.Context(), Command{Args: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context(), Command{Args: []string{"true"}}); !errors.Is(err, ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
}

func TestSideBySide(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	done := make(chan error)
	for i := range 4 { // each waits for the others
		script := fmt.Sprintf("touch /side.%d; until [ -e /side.0 ] && [ -e /side.1 ] && [ -e /side.2 ] && [ -e /side.3 ]; do sleep 0.1; done", i)
		go func() { done <- s.Run(t.Context(), Command{Args: []string{"sh", "-c", script}, Timeout: patience}) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestLeftoverKeepsPipeOpen(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	var out bytes.Buffer
	if err := s.Run(t.Context(), Command{Args: []string{"sh", "-c", "sleep 1000 & echo done"}, Stdout: &out, Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	if out.String() != "done\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestBigOutputAndExtraFiles(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "extra"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := open(t, newRoot(t), Options{})
	var out bytes.Buffer
	in := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	err = s.Run(t.Context(), Command{
		Args: []string{"sh", "-c", "echo three >&3; cat"}, Stdin: bytes.NewReader(in), Stdout: &out, ExtraFiles: []*os.File{f},
		Env: []string{"LONG=" + strings.Repeat("x", 100<<10)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), in) {
		t.Errorf("got %d bytes of %d back", out.Len(), len(in))
	}
	if data, _ := os.ReadFile(f.Name()); string(data) != "three\n" {
		t.Errorf("extra file: %q", data)
	}
}
