package agent

import (
	"os"
	"testing"
)

// TestResetAgain: a reset that something hinders is done when that is over,
// and not forgotten.
func TestResetAgain(t *testing.T) {
	a := rooted(t)
	if err := os.Remove(a.statePath(standingFile)); err != nil {
		t.Fatal(err)
	}
	put(t, a.statePath(standingFile+"/in the way"), "")
	if _, err := a.reset(t.Context(), ResetRequest{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.doReset(t.Context()); err == nil {
			t.Fatal("nothing is said")
		}
	}
	if a.standing == nil {
		t.Error("half forgotten")
	}
	if err := os.RemoveAll(a.statePath(standingFile)); err != nil {
		t.Fatal(err)
	}
	if err := a.doReset(t.Context()); err != nil || a.standing != nil {
		t.Errorf("%v, and a place in %v", err, a.standing)
	}
	if err := a.found("test"); err != nil {
		t.Fatal(err)
	}
	if err := a.doReset(t.Context()); err != nil || a.standing == nil {
		t.Errorf("once is once: %v", err)
	}
}
