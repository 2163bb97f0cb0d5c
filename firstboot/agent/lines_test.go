package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"cloudy/firstboot/nodeconfig"
)

// TestOwnLog: the page has the last lines of the agent's log, without what is
// for who looks for mistakes in it, and the logs of the node's units alone.
func TestOwnLog(t *testing.T) {
	var out strings.Builder
	a := New(Options{Root: t.TempDir(), Config: nodeconfig.Default(), Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	a.log.Debug("a detail")
	a.log.Info("stage join", "state", Done)
	a.log.With("of", "x").Warn("not so good", "error", errors.New("no \"route\""))
	a.log.Error("bad")
	list, err := pageNode{a}.Log(t.Context(), "cloudy-node", 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, want := range []struct{ level, text string }{{"", "stage join state=done"}, {"warn", `not so good error="no \"route\""`}, {"error", "bad"}} {
		if got := list[i]; got.Level != want.level || got.Text != want.text || got.At.IsZero() {
			t.Errorf("line %d is %+v", i+1, got)
		}
	}
	if !strings.Contains(out.String(), "a detail") {
		t.Error("the journal lacks it")
	}
	for i := range 3 * keptLines {
		a.log.Info(fmt.Sprint("line ", i))
	}
	list, _ = pageNode{a}.Log(t.Context(), "cloudy-node", 2)
	if len(list) != 2 || list[1].Text != fmt.Sprint("line ", 3*keptLines-1) || len(a.lines.list) > keptLines {
		t.Errorf("%+v of %d lines", list, len(a.lines.list))
	}
	for _, source := range []string{"", "ssh.service", "cloudy-mesh.service --since=yesterday", "-b"} {
		if _, err := (pageNode{a}).Log(t.Context(), source, 2); err == nil {
			t.Errorf("the log %q is shown", source)
		}
	}
}
