package recipe

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Render writes diagnostics for a person: the mistake, its place, the source
// line with the part underlined, and what to do. color adds terminal colours.
func (m *Module) Render(w io.Writer, diags Diagnostics, color bool) {
	paint := func(code, s string) string {
		if !color || s == "" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	for i, d := range diags {
		if i > 0 {
			fmt.Fprintln(w)
		}
		word, code := "error", "1;31"
		if d.Severity == hcl.DiagWarning {
			word, code = "warning", "1;33"
		}
		fmt.Fprintf(w, "%s: %s\n", paint(code, word), paint("1", d.Summary))
		if d.Subject != nil {
			fmt.Fprintf(w, "  %s\n", paint("36", place(*d.Subject)))
			m.snippet(w, *d.Subject, func(s string) string { return paint(code, s) })
		}
		for line := range strings.SplitSeq(d.Detail, "\n") {
			if line != "" {
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
	}
}

// snippet writes the source line of a range with the range underlined, or
// nothing when the source is not at hand.
func (m *Module) snippet(w io.Writer, r Range, paint func(string) string) {
	src, ok := m.sources[r.Filename]
	if !ok || r.Start.Byte > len(src) || r.Start.Line < 1 {
		return
	}
	begin := bytes.LastIndexByte(src[:r.Start.Byte], '\n') + 1
	end := len(src)
	if i := bytes.IndexByte(src[begin:], '\n'); i >= 0 {
		end = begin + i
	}
	line := printable(string(src[begin:end]))
	if line == "" {
		return
	}
	head := printable(string(src[begin:r.Start.Byte]))
	stop := min(max(r.End.Byte, r.Start.Byte), end)
	marked := printable(string(src[r.Start.Byte:max(stop, r.Start.Byte)]))
	// Tabs stay tabs in the margin so that the marks stand below their text.
	margin := strings.Map(func(c rune) rune {
		if c == '\t' {
			return c
		}
		return ' '
	}, head)
	fmt.Fprintf(w, "  %5d | %s\n", r.Start.Line, line)
	fmt.Fprintf(w, "        | %s%s\n", margin, paint(strings.Repeat("^", max(1, utf8.RuneCountInString(marked)))))
}

// printable replaces what would confuse a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c == utf8.RuneError || c < ' ' && c != '\t' || c == 0x7f {
			return '\ufffd'
		}
		return c
	}, strings.TrimRight(s, "\r"))
}
