// Package progress is the stream of typed events in which long work tells
// how far it is. Work takes its sink from the context; who renders the
// events (live bars, plain lines, JSON) is the caller's choice.
package progress

import (
	"context"
	"sync/atomic"
	"time"
)

// Unit is what a step counts.
type Unit string

// The units.
const (
	Bytes    Unit = "bytes"
	Packages Unit = "packages"
	Files    Unit = "files"
	Items    Unit = "items"
)

// Kind is the kind of an event.
type Kind string

// The kinds. A step sends one Start, any number of Advance, Message and Log,
// and one of Done, Cached and Failed.
const (
	Start   Kind = "start"
	Advance Kind = "advance" // Done and Total changed
	Message Kind = "message" // what the step works on now, one short line
	Log     Kind = "log"     // one line of output of a program that the step runs
	Warning Kind = "warning"
	Done    Kind = "done"
	Cached  Kind = "cached" // nothing to do; Text says why
	Failed  Kind = "failed"
)

// Event is one report. Step names the step that it belongs to; it is empty
// for a warning about the whole.
type Event struct {
	Time    time.Time     `json:"time"`
	Kind    Kind          `json:"kind"`
	Step    string        `json:"step,omitempty"`
	Text    string        `json:"text,omitempty"`
	Done    int64         `json:"done,omitempty"`
	Total   int64         `json:"total,omitempty"` // 0 when nobody knows
	Unit    Unit          `json:"unit,omitempty"`
	Elapsed time.Duration `json:"elapsed,omitempty"` // nanoseconds, on Done, Cached and Failed
}

// Sink receives events. Event is called from many goroutines and must not block for long.
type Sink interface{ Event(Event) }

type sinkKey struct{}

// With returns a context whose work reports to sink.
func With(ctx context.Context, sink Sink) context.Context {
	return context.WithValue(ctx, sinkKey{}, sink)
}

type nameKey struct{}

// Of returns a context whose steps are named after what they are for: of
// "node/arm64" the step "unpack" is "node/arm64: unpack".
func Of(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, nameKey{}, name)
}

type nowhere struct{}

func (nowhere) Event(Event) {}

func sinkOf(ctx context.Context) Sink {
	if s, ok := ctx.Value(sinkKey{}).(Sink); ok {
		return s
	}
	return nowhere{}
}

// Warn reports something that the user should know but that stops nothing.
func Warn(ctx context.Context, text string) {
	sinkOf(ctx).Event(Event{Time: time.Now(), Kind: Warning, Text: text})
}

// Step is one long piece of work. Its methods are safe for concurrent use.
type Step struct {
	sink  Sink
	name  string
	unit  Unit
	total atomic.Int64
	done  atomic.Int64
	last  atomic.Int64 // time of the last Advance sent, UnixNano
	start time.Time
}

// advanceEvery bounds how often a step reports its count.
const advanceEvery = 50 * time.Millisecond

// Begin starts a step. total is in units, 0 when nobody knows yet.
func Begin(ctx context.Context, name string, total int64, unit Unit) *Step {
	if of, ok := ctx.Value(nameKey{}).(string); ok {
		name = of + ": " + name
	}
	s := &Step{sink: sinkOf(ctx), name: name, unit: unit, start: time.Now()}
	s.total.Store(total)
	s.send(Event{Kind: Start})
	return s
}

func (s *Step) send(e Event) {
	e.Time, e.Step, e.Unit = time.Now(), s.name, s.unit
	e.Done, e.Total = s.done.Load(), s.total.Load()
	s.sink.Event(e)
}

// Add counts n more units as done.
func (s *Step) Add(n int64) {
	s.done.Add(n)
	now, last := time.Now().UnixNano(), s.last.Load()
	if now-last > int64(advanceEvery) && s.last.CompareAndSwap(last, now) {
		s.send(Event{Kind: Advance})
	}
}

// Grow adds n units to the total.
func (s *Step) Grow(n int64) { s.total.Add(n) }

// Message says what the step works on now.
func (s *Step) Message(text string) { s.send(Event{Kind: Message, Text: text}) }

// Log passes on one line of output of a program that the step runs.
func (s *Step) Log(line string) { s.send(Event{Kind: Log, Text: line}) }

// Cached ends the step: its result was there already, and why.
func (s *Step) Cached(why string) {
	s.send(Event{Kind: Cached, Text: why, Elapsed: time.Since(s.start)})
}

// End ends the step and returns err, so that a step can end with
// `return step.End(err)`.
func (s *Step) End(err error) error {
	e := Event{Kind: Done, Elapsed: time.Since(s.start)}
	if err != nil {
		e.Kind, e.Text = Failed, err.Error()
	}
	s.send(e)
	return err
}
