package agent

import (
	"testing"
	"time"
)

// TestMissed: what cannot be had is asked for soon, and then less and less often.
func TestMissed(t *testing.T) {
	var m missed
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		m = m.again(now)
		want *= time.Second
		if wait := m.until.Sub(now); m.pause != want || wait < want/2 || wait >= want*3/2 {
			t.Errorf("after %d failures: %s about %s, want %s", i+1, wait, m.pause, want)
		}
	}
}
