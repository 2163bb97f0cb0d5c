package rootfs

import "testing"

// TestPace: while scripts run one decoder less goes on, but never none.
func TestPace(t *testing.T) {
	for _, c := range []struct{ cores, scripts, want int }{{1, 0, 1}, {1, 1, 1}, {2, 0, 2}, {2, 1, 1}, {2, 3, 1}, {4, 1, 3}} {
		p := newPace(c.cores)
		var ended []func()
		for range c.scripts {
			ended = append(ended, p.scriptsRun())
		}
		for range c.want {
			p.begin() // must not wait
		}
		if !p.full() {
			t.Errorf("%+v: one more goes on", c)
		}
		more := make(chan struct{})
		go func() { p.begin(); close(more) }()
		p.end()
		<-more // now it may
		for _, f := range ended {
			f()
		}
	}
}
