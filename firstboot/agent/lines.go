package agent

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"

	"cloudy/firstboot/page"
)

// keptLines is how many lines of its log the agent keeps for the page: a node
// without a journal has no other.
const keptLines = 300

// lastLines are the last lines of the agent's log.
type lastLines struct {
	mu   sync.Mutex
	list []page.LogLine
}

func (l *lastLines) add(x page.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= keptLines {
		l.list = append(l.list[:0], l.list[keptLines/4:]...)
	}
	l.list = append(l.list, x)
}

func (l *lastLines) last(n int) []page.LogLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list[max(0, len(l.list)-n):])
}

// tee gives every record to the log, and those that are for people to lines.
type tee struct {
	slog.Handler
	lines *lastLines
}

// WithAttrs implements slog.Handler.
func (t tee) WithAttrs(as []slog.Attr) slog.Handler { return tee{t.Handler.WithAttrs(as), t.lines} }

// WithGroup implements slog.Handler.
func (t tee) WithGroup(name string) slog.Handler { return tee{t.Handler.WithGroup(name), t.lines} }

// Handle implements slog.Handler.
func (t tee) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		var b bytes.Buffer
		short := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{} // shown in other ways
			}
			return a
		}})
		short.Handle(ctx, r)
		text := r.Message
		if rest := bytes.TrimSpace(b.Bytes()); len(rest) > 0 {
			text += " " + string(rest)
		}
		x := page.LogLine{At: r.Time, Text: text}
		switch {
		case r.Level >= slog.LevelError:
			x.Level = "error"
		case r.Level >= slog.LevelWarn:
			x.Level = "warn"
		}
		t.lines.add(x)
	}
	return t.Handler.Handle(ctx, r)
}
