package progress

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
)

// tailLines is how much of a failing step's output a failure shows.
const tailLines = 40

// Summary collects how each step ended, and the last lines of output of each,
// to be written out when all is over.
type Summary struct {
	mu          sync.Mutex
	steps       []*summaryStep
	running     map[string]*summaryStep
	first, last time.Time
}

type summaryStep struct {
	name        string
	kind        Kind // Start while it runs
	text        string
	start       time.Time
	elapsed     time.Duration
	done, total int64
	unit        Unit
	tail        ring
}

// ring keeps the last lines of output.
type ring struct {
	lines []string
	next  int
	seen  int
}

func (r *ring) add(line string) {
	r.seen++
	if len(r.lines) < tailLines {
		r.lines = append(r.lines, line)
		return
	}
	r.lines[r.next] = line
	r.next = (r.next + 1) % tailLines
}

func (r *ring) all() []string {
	return append(append([]string(nil), r.lines[r.next:]...), r.lines[:r.next]...)
}

// NewSummary returns an empty summary.
func NewSummary() *Summary { return &Summary{running: map[string]*summaryStep{}} }

// Event notes e.
func (s *Summary) Event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = e.Time
	}
	if e.Time.After(s.last) {
		s.last = e.Time
	}
	if e.Step == "" || e.Kind == Warning {
		return
	}
	st := s.running[e.Step]
	if st == nil {
		st = &summaryStep{name: e.Step, kind: Start, start: e.Time}
		s.running[e.Step] = st
		s.steps = append(s.steps, st)
	}
	st.done, st.total, st.unit = e.Done, e.Total, e.Unit
	switch e.Kind {
	case Log:
		st.tail.add(clean(e.Text))
	case Done, Cached, Failed:
		st.kind, st.text, st.elapsed = e.Kind, e.Text, e.Elapsed
		delete(s.running, e.Step)
	}
}

// Write writes a table of all steps in the order of their start: result, wall
// time, and what was counted. Steps overlap, so the last line, the time from
// the first event to the last one, is less than their sum.
func (s *Summary) Write(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.steps) == 0 {
		return
	}
	rows := [][4]string{{"step", "result", "time", "count"}}
	for _, st := range s.steps {
		row := [4]string{st.name, string(st.kind), FormatDuration(st.elapsed), formatCount(st.done, st.total, st.unit)}
		switch st.kind {
		case Start:
			row[1], row[2] = "stopped", FormatDuration(s.last.Sub(st.start))
		case Done:
			row[3] = formatCount(st.done, st.done, st.unit)
		case Failed:
			if stopped(st.text) {
				row[1] = "stopped"
			}
		case Cached:
			row[1] = fit(strings.TrimSuffix("cached: "+clean(st.text), ": "), 60, "...")
		}
		rows = append(rows, row)
	}
	rows = append(rows, [4]string{"all", "", FormatDuration(s.last.Sub(s.first)), ""})
	var width [4]int
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], runewidth.StringWidth(cell))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("%s  %s  %*s  %s", pad(row[0], width[0]), pad(row[1], width[1]), width[2], row[2], row[3])
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// WriteFailure writes the last lines of output of the step that failed first,
// and where the whole of it is when logPath is not empty. It writes nothing
// when no step failed or the failing one ran no program.
func (s *Summary) WriteFailure(w io.Writer, logPath string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.failed()
	if st == nil || st.tail.seen == 0 {
		return
	}
	lines := st.tail.all()
	if st.tail.seen > len(lines) {
		fmt.Fprintf(w, "%s failed; the last %d of %d lines of its output:\n", st.name, len(lines), st.tail.seen)
	} else {
		fmt.Fprintf(w, "%s failed; its output:\n", st.name)
	}
	for _, l := range lines {
		fmt.Fprintln(w, strings.TrimRight("  | "+l, " "))
	}
	if logPath != "" {
		fmt.Fprintf(w, "the whole output: %s\n", logPath)
	}
}

// failed is the failed step nearest to the cause: the first one that did not
// merely end because the work was stopped after another one's failure, and of
// a step within a step, which fails first, the inner one.
func (s *Summary) failed() *summaryStep {
	var best *summaryStep
	end := func(st *summaryStep) time.Time { return st.start.Add(st.elapsed) }
	for _, st := range s.steps {
		if st.kind != Failed || stopped(st.text) {
			continue
		}
		if best == nil || end(st).Before(end(best)) {
			best = st
		}
	}
	return best
}

// stopped says whether a failure's text is that of a step that ended because
// the whole was stopped.
func stopped(text string) bool { return strings.HasSuffix(text, context.Canceled.Error()) }
