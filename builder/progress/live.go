package progress

import (
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

// frameEvery is the time between two pictures: often enough to look alive, rare
// enough to cost nothing over a slow line.
const frameEvery = 100 * time.Millisecond

// LiveOptions says what the terminal can do.
type LiveOptions struct {
	Size  func() (columns, rows int) // asked before each picture; nil means 80 by 24
	Color bool
	ASCII bool             // no characters beyond ASCII
	Logs  bool             // print the output of programs above the bars
	Now   func() time.Time // nil means time.Now
}

// Live draws running steps as bars at the bottom of a terminal, with finished
// steps and warnings as lines above them. It leaves no mode of the
// terminal changed between two pictures, and the cursor visible, so that there
// is nothing to restore, however the process ends.
type Live struct {
	w    io.Writer
	opts LiveOptions

	mu      sync.Mutex
	steps   []*liveStep // running, in the order of their start
	pending []string    // lines to print above the bars
	drawn   int         // lines of bars on the screen
	tick    int
	closed  bool

	stop chan struct{}
	idle sync.WaitGroup
}

// liveStep is a running step.
type liveStep struct {
	name, message string
	unit          Unit
	done, total   int64
	start         time.Time
	rate          float64 // units per second, smoothed
	rateTime      time.Time
	rateDone      int64
}

// NewLive starts drawing on w. Close ends it.
func NewLive(w io.Writer, opts LiveOptions) *Live {
	l := newLive(w, opts)
	l.idle.Go(l.loop)
	return l
}

func newLive(w io.Writer, opts LiveOptions) *Live {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Size == nil {
		opts.Size = func() (int, int) { return 80, 24 }
	}
	return &Live{w: w, opts: opts, stop: make(chan struct{})}
}

func (l *Live) loop() {
	ticker := time.NewTicker(frameEvery)
	defer ticker.Stop()
	// After Ctrl-Z and fg the shell has written below the bars: what was drawn
	// is no longer where it was.
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	for {
		select {
		case <-l.stop:
			return
		case <-resumed:
			l.mu.Lock()
			l.drawn = 0
			l.mu.Unlock()
		case <-ticker.C:
			l.draw()
		}
	}
}

// draw brings the screen up to date.
func (l *Live) draw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick++
	_, _ = l.w.Write(l.picture(l.opts.Now()))
}

// Close draws what is left, takes the bars away, and stops. Steps that still
// run are marked as stopped.
func (l *Live) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	now := l.opts.Now()
	for _, s := range l.steps {
		l.pending = append(l.pending, l.ending(s, Start, "", now.Sub(s.start)))
	}
	l.steps = nil
	l.mu.Unlock()
	close(l.stop)
	l.idle.Wait()
	l.draw()
}

// Event notes e for the next picture.
func (l *Live) Event(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Kind == Warning {
		l.pending = append(l.pending, l.paint(sgrYellow, warningLine(e)))
		return
	}
	i := slices.IndexFunc(l.steps, func(s *liveStep) bool { return s.name == e.Step })
	if i < 0 {
		l.steps = append(l.steps, &liveStep{name: e.Step, start: e.Time, rateTime: e.Time})
		i = len(l.steps) - 1
	}
	s := l.steps[i]
	s.done, s.total, s.unit = e.Done, e.Total, e.Unit
	switch e.Kind {
	case Message:
		s.message = clean(e.Text)
	case Log:
		if l.opts.Logs {
			l.pending = append(l.pending, l.paint(sgrDim, s.name+" | "+clean(e.Text)))
		}
	case Done, Cached, Failed:
		l.steps = slices.Delete(l.steps, i, i+1)
		l.pending = append(l.pending, l.ending(s, e.Kind, e.Text, e.Elapsed))
	}
}

// rateHalfLife is how fast the shown rate forgets: steady enough to read.
const rateHalfLife = 2 * time.Second

// updateRate smooths the step's rate over the last few seconds.
func (s *liveStep) updateRate(now time.Time) {
	dt := now.Sub(s.rateTime)
	if dt < frameEvery/2 {
		return
	}
	current := float64(s.done-s.rateDone) / dt.Seconds()
	if s.rate == 0 {
		s.rate = current
	} else {
		weight := min(1, dt.Seconds()/(rateHalfLife.Seconds()*1.44))
		s.rate += (current - s.rate) * weight
	}
	s.rateTime, s.rateDone = now, s.done
}
