package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloudy/firstboot/nodeconfig"
)

// TestChecksAtOnce: each of two checks ends when the other has begun.
func TestChecksAtOnce(t *testing.T) {
	a := wishful(t)
	dir := t.TempDir()
	const meet = `touch "$1"; while [ ! -e "$2" ]; do sleep 0.02; done`
	for _, pair := range [][2]string{{"x", "y"}, {"y", "x"}} {
		a.conf.Services = append(a.conf.Services, nodeconfig.Service{Name: pair[0], Enabled: true, Health: &nodeconfig.Health{
			Command: []string{"sh", "-c", meet, "meet", filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1])},
			Timeout: nodeconfig.Duration(time.Minute),
		}})
	}
	if detail, err := a.stageServices(t.Context()); err != nil || detail != "2 of 2 services up" {
		t.Errorf("%s, %v", detail, err)
	}
}

// TestCheckEnds: a check whose time is over is over, with what it started,
// however long that would hold on to its output.
func TestCheckEnds(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	// Its time is over when it has started what holds on to its output.
	ctx, over := context.WithCancel(t.Context())
	defer over()
	var pid []byte
	go func() {
		defer over()
		for ctx.Err() == nil {
			if pid, _ = os.ReadFile(child); bytes.HasSuffix(pid, []byte("\n")) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	h := nodeconfig.Health{
		Command: []string{"sh", "-c", `sleep 1000 & echo $! > "$1"; wait`, "check", child},
		Timeout: nodeconfig.Duration(time.Minute),
	}
	if err := probe(ctx, h); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	gone := func() bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%s/cmdline", strings.TrimSpace(string(pid))))
		return err != nil || len(line) == 0 // or nobody has asked yet how it ended
	}
	for deadline := time.Now().Add(time.Minute); !gone(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			exec.Command("kill", strings.TrimSpace(string(pid))).Run()
			t.Fatal("what the check started is still there")
		}
	}
}

// TestCheckSays: of what a check says the beginning is kept.
func TestCheckSays(t *testing.T) {
	err := probe(t.Context(), nodeconfig.Health{Command: []string{"sh", "-c", "echo no such grid; yes | head -c 10000000; exit 3"}, Timeout: nodeconfig.Duration(time.Minute)})
	if err == nil || !strings.Contains(err.Error(), "no such grid") || len(err.Error()) > 300 {
		t.Errorf("%.400v", err)
	}
}

// TestRestartsBackOff: a unit that never stays up is started less and less
// often, and at once when its owner turns it on.
func TestRestartsBackOff(t *testing.T) {
	a := wishful(t)
	a.privileged = func() bool { return false }
	a.conf.Services = []nodeconfig.Service{{Name: "web", Units: []string{"web.service"}, Enabled: true}}
	// systemd, where it never runs.
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\necho failed\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	wish := a.path(WishDir + "/services.json")
	// check looks at the service again, as after the pause since the last look
	// and, when told so, the one until the next start.
	check := func(waited bool) (started bool) {
		t.Helper()
		os.Remove(wish)
		h := a.health["web"]
		h.at = time.Time{}
		if waited {
			h.again = time.Time{}
		}
		a.health["web"] = h
		if _, err := a.stageServices(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(wish)
		return err == nil
	}
	if !check(false) {
		t.Fatal("not started at first")
	}
	var pause time.Duration
	for i := range 12 {
		before := time.Now()
		if i > 0 && !check(true) {
			t.Fatal("given up")
		}
		next := a.health["web"].again.Sub(before)
		if i > 0 && (next < pause || next > retryMax+time.Minute) {
			t.Errorf("attempt %d: again in %s, after %s", i, next, pause)
		}
		pause = min(next, retryMax) - time.Second
		if i > 2 && check(false) {
			t.Errorf("attempt %d: started again at once", i)
		}
	}
	if pause < retryMax/2 {
		t.Errorf("after many attempts: %s", pause)
	}
	if x := a.OwnServices()[0]; x.Up || !strings.Contains(x.Problem, "web.service does not run") {
		t.Errorf("%+v", x)
	}
	if err := a.SetService(t.Context(), "web", true); err != nil {
		t.Fatal(err)
	}
	if !check(false) || a.health["web"].starts != 1 {
		t.Errorf("turned on, and not started: %+v", a.health["web"])
	}
}
