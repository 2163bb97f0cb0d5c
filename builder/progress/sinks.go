package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Tee returns a sink that passes every event on to all of sinks, in order.
func Tee(sinks ...Sink) Sink { return tee(sinks) }

type tee []Sink

func (t tee) Event(e Event) {
	for _, s := range t {
		s.Event(e)
	}
}

// JSON writes every event as one line of JSON, in the order of their arrival.
type JSON struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// NewJSON returns a JSON that writes to w.
func NewJSON(w io.Writer) *JSON {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &JSON{enc: enc}
}

// Event writes e. A reader that went away is not an error of the work.
func (j *JSON) Event(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.enc.Encode(e)
}

// Quiet writes warnings and nothing else.
type Quiet struct {
	mu sync.Mutex
	w  io.Writer
}

// NewQuiet returns a Quiet that writes to w.
func NewQuiet(w io.Writer) *Quiet { return &Quiet{w: w} }

// Event writes e when it is a warning.
func (q *Quiet) Event(e Event) {
	if e.Kind != Warning {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	fmt.Fprintln(q.w, warningLine(e))
}

func warningLine(e Event) string {
	if e.Step != "" {
		return "warning: " + e.Step + ": " + clean(e.Text)
	}
	return "warning: " + clean(e.Text)
}
