package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A running step gets a line when it has come this far since its last one.
const (
	plainEvery   = 5 * time.Second
	plainPercent = 10
	plainAtLeast = time.Second // between two lines of a step that is fast
)

// Plain writes lines for a log: one where a step starts and ends, and one every
// few seconds or ten percent between. It goes by the times of the events, so
// that the same events always give the same lines.
type Plain struct {
	Logs bool // write the output of programs as well; set before the first event

	mu    sync.Mutex
	w     io.Writer
	steps map[string]*plainStep
}

type plainStep struct {
	start, last time.Time
	lastDone    int64
	lastPercent int64
	message     string
}

// NewPlain returns a Plain that writes to w.
func NewPlain(w io.Writer) *Plain { return &Plain{w: w, steps: map[string]*plainStep{}} }

// Event writes the line that e calls for, if any.
func (p *Plain) Event(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case Warning:
		fmt.Fprintln(p.w, warningLine(e))
	case Start:
		p.steps[e.Step] = &plainStep{start: e.Time, last: e.Time}
		p.line(e.Step, "start", formatCount(e.Total, e.Total, e.Unit))
	case Done:
		p.line(e.Step, "done in "+FormatDuration(e.Elapsed), formatCount(e.Done, e.Done, e.Unit), meanRate(e))
		delete(p.steps, e.Step)
	case Cached:
		p.line(e.Step, strings.TrimSuffix("cached: "+clean(e.Text), ": "))
		delete(p.steps, e.Step)
	case Failed:
		if stopped(e.Text) {
			p.line(e.Step, "stopped after "+FormatDuration(e.Elapsed))
		} else {
			p.line(e.Step, "failed after "+FormatDuration(e.Elapsed)+": "+firstLine(e.Text))
		}
		delete(p.steps, e.Step)
	case Advance, Message, Log:
		if e.Kind == Log && p.Logs {
			fmt.Fprintf(p.w, "%s | %s\n", e.Step, clean(e.Text))
		}
		p.advance(e)
	}
}

func (p *Plain) advance(e Event) {
	s := p.steps[e.Step]
	if s == nil {
		return
	}
	if e.Kind == Message {
		s.message = clean(e.Text)
	}
	percent := int64(0)
	if e.Total > 0 {
		percent = e.Done * 100 / e.Total
	}
	since := e.Time.Sub(s.last)
	if since < plainEvery && (percent-s.lastPercent < plainPercent || since < plainAtLeast) {
		return
	}
	rate := formatRate(float64(e.Done-s.lastDone)/since.Seconds(), e.Unit)
	count := formatCount(e.Done, e.Total, e.Unit)
	head := FormatDuration(e.Time.Sub(s.start))
	if e.Total > 0 {
		head = fmt.Sprintf("%d%%", percent)
	}
	p.line(e.Step, head, count, rate, s.message)
	s.last, s.lastDone, s.lastPercent = e.Time, e.Done, percent
}

// line writes a step's name and the parts that are not empty.
func (p *Plain) line(step string, parts ...string) {
	var b strings.Builder
	for _, part := range parts {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(part)
	}
	fmt.Fprintf(p.w, "%s: %s\n", step, b.String())
}

func meanRate(e Event) string {
	if e.Elapsed < 100*time.Millisecond {
		return ""
	}
	return formatRate(float64(e.Done)/e.Elapsed.Seconds(), e.Unit)
}

// firstLine is the first line of a text, fit to print.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return clean(s)
}
