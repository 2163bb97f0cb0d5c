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
