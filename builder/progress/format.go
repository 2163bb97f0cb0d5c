package progress

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// FormatBytes writes a number of bytes in binary units: "312.4 MiB".
func FormatBytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n)/1024, "KMGTPE"
	i := 0
	for v >= 1023.95 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// FormatDuration writes a duration as a person would say it: "0.4s", "42s", "3m07s", "1h02m".
func FormatDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "0.0s"
	case d < 9950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute-500*time.Millisecond:
		return fmt.Sprintf("%.0fs", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// formatCount writes what a step has counted: "123 of 412 packages", "31.2 MiB of
// 312.4 MiB", or "" when it counts nothing.
func formatCount(done, total int64, unit Unit) string {
	one := func(n int64) string { return fmt.Sprint(n) }
	name := ""
	switch unit {
	case Bytes:
		one = FormatBytes
	case "":
	default:
		name = " " + string(unit)
		if total == 1 || total == 0 && done == 1 {
			name = strings.TrimSuffix(name, "s")
		}
	}
	switch {
	case done == 0 && total == 0:
		return ""
	case total > 0 && done != total:
		return one(done) + " of " + one(total) + name
	default:
		return one(done) + name
	}
}

// formatRate writes units per second, or "" when it says nothing.
func formatRate(perSecond float64, unit Unit) string {
	if perSecond <= 0 || unit != Bytes {
		return ""
	}
	return FormatBytes(int64(perSecond)) + "/s"
}

// clean makes one line of a program's output fit to print: without escape
// sequences, without control characters, with the part after the last
// carriage return, as a terminal would show it.
func clean(s string) string {
	s = strings.TrimRight(s, "\r\n ")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == 0x1b:
			n = escapeLen(s[i:])
		case r == '\t' || r == '\n':
			b.WriteByte(' ')
		case r == utf8.RuneError && n == 1:
			b.WriteByte('?')
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// escapeLen is the length of the escape sequence at the start of s
// (ECMA-48, 5.3 and 5.4: CSI, OSC and two-character sequences).
func escapeLen(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
		return len(s)
	case ']':
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	}
	return 2
}

// fit cuts s to at most width columns, and marks the cut.
func fit(s string, width int, mark string) string {
	if width <= 0 {
		return ""
	}
	if runewidth.StringWidth(s) <= width {
		return s
	}
	return runewidth.Truncate(s, width, mark)
}

// pad fills s with blanks to width columns.
func pad(s string, width int) string { return runewidth.FillRight(s, width) }
