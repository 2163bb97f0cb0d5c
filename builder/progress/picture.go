package progress

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// The colours of the live display, as SGR parameters (ECMA-48, 8.3.117).
const (
	sgrGreen  = "32"
	sgrYellow = "33"
	sgrRed    = "1;31"
	sgrCyan   = "36"
	sgrDim    = "2"
)

// glyphs are the characters that the display is drawn with.
type glyphs struct {
	full, empty, done, cached, failed, stopped, cut string
	spinner                                         []string
}

func (l *Live) glyphs() glyphs {
	if l.opts.ASCII {
		return glyphs{"#", "-", "+", "=", "x", "!", "...", []string{"|", "/", "-", "\\"}}
	}
	return glyphs{"━", "─", "✓", "=", "✗", "!", "…", []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}}
}

// picture is what to write to bring the screen from what was drawn last to
// what holds now. The cursor stands below the bars before and after.
func (l *Live) picture(now time.Time) []byte {
	columns, rows := l.opts.Size()
	if columns < 10 {
		columns = 80 // a terminal that does not know its size
	}
	if rows < 3 {
		rows = 24
	}
	bars := l.bars(now, columns, rows)
	if len(bars) == 0 && len(l.pending) == 0 && l.drawn == 0 {
		return nil
	}
	var b bytes.Buffer
	// A terminal that got narrower may have wrapped the bars over more rows.
	// Nobody can know: going up too far would eat what stands above, so bits
	// of old bars may stay behind instead.
	if up := min(l.drawn, rows-1); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteByte('\r')
	for _, line := range l.pending {
		b.WriteString(line + "\x1b[K\n")
	}
	l.pending, l.drawn = nil, len(bars)
	// Without wrapping (DECAWM) a bar stays one row even where the terminal
	// is narrower by now than it said.
	b.WriteString("\x1b[?7l")
	for _, bar := range bars {
		b.WriteString(bar + "\x1b[K\n")
	}
	b.WriteString("\x1b[?7h\x1b[J")
	return b.Bytes()
}

// bars are the lines of the running steps, no more than fit on the screen.
func (l *Live) bars(now time.Time, columns, rows int) []string {
	if len(l.steps) == 0 {
		return nil
	}
	nameWidth := 8
	for _, s := range l.steps {
		nameWidth = max(nameWidth, runewidth.StringWidth(s.name))
	}
	nameWidth = min(nameWidth, max(8, columns/4))
	shown, room := l.steps, rows-2
	if len(shown) > room {
		shown = shown[:room-1]
	}
	var lines []string
	for _, s := range shown {
		lines = append(lines, l.bar(s, now, nameWidth, columns-1))
	}
	if more := len(l.steps) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	return lines
}

// bar is the line of one running step, at most width columns: name, bar,
// percentage, count, rate, elapsed time, and what it works on in the room that is left.
func (l *Live) bar(s *liveStep, now time.Time, nameWidth, width int) string {
	g := l.glyphs()
	s.updateRate(now)
	name := pad(fit(s.name, nameWidth, g.cut), nameWidth)
	head := g.spinner[l.tick%len(g.spinner)] + " " + name
	elapsed := FormatDuration(now.Sub(s.start))
	facts := []string{formatCount(s.done, s.total, s.unit), formatRate(s.rate, s.unit), elapsed}
	text := " " + strings.Join(without(facts, ""), "  ")
	// Narrow terminals lose the bar first, then all but the time.
	barWidth := min(24, width-runewidth.StringWidth(head+text)-8)
	if s.total <= 0 || barWidth < 6 {
		barWidth = 0
	}
	if s.total > 0 && barWidth == 0 {
		text = fmt.Sprintf(" %3d%%", min(max(s.done, 0), s.total)*100/s.total) + text
	}
	if runewidth.StringWidth(head+text) > width {
		text = " " + elapsed
	}
	line, plain := l.paint(sgrCyan, g.spinner[l.tick%len(g.spinner)])+" "+name, head
	if barWidth > 0 {
		done := min(max(s.done, 0), s.total)
		full := int(done * int64(barWidth) / s.total)
		percent := fmt.Sprintf(" %3d%%", done*100/s.total)
		line += " " + l.paint(sgrGreen, strings.Repeat(g.full, full)) + l.paint(sgrDim, strings.Repeat(g.empty, barWidth-full)) + percent
		plain += " " + strings.Repeat("#", barWidth) + percent
	}
	line, plain = line+text, plain+text
	room := width - runewidth.StringWidth(plain) - 2
	if s.message != "" && room >= 8 {
		line += "  " + l.paint(sgrDim, fit(s.message, room, g.cut))
	}
	if runewidth.StringWidth(plain) > width {
		return fit(plain, width, g.cut) // a terminal too narrow for anything better
	}
	return line
}

// ending is the line that a step leaves behind.
func (l *Live) ending(s *liveStep, kind Kind, text string, elapsed time.Duration) string {
	g := l.glyphs()
	columns, _ := l.opts.Size()
	rate := meanRate(Event{Done: s.done, Unit: s.unit, Elapsed: elapsed})
	var line, mark, sgr string
	if kind == Failed && stopped(text) {
		kind = Start
	}
	switch kind {
	case Done:
		mark, sgr = g.done, sgrGreen
		line = strings.Join(without([]string{s.name, formatCount(s.done, s.done, s.unit), rate, FormatDuration(elapsed)}, ""), "  ")
	case Cached:
		mark, sgr = g.cached, sgrCyan
		line = strings.TrimSuffix(s.name+"  cached: "+clean(text), ": ")
	case Failed:
		mark, sgr = g.failed, sgrRed
		line = s.name + "  failed after " + FormatDuration(elapsed) + ": " + firstLine(text)
	default:
		mark, sgr = g.stopped, sgrYellow
		line = s.name + "  stopped after " + FormatDuration(elapsed)
	}
	if columns >= 10 {
		line = fit(line, columns-3, g.cut)
	}
	return l.paint(sgr, mark) + " " + line
}

func (l *Live) paint(sgr, s string) string {
	if !l.opts.Color || s == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// without returns the items that are not x.
func without(items []string, x string) []string {
	var list []string
	for _, item := range items {
		if item != x {
			list = append(list, item)
		}
	}
	return list
}
