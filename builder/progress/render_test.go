package progress

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// script is a build as its events tell it, with a failure at the end.
func script() []Event {
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }
	elapsed := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
	events := []Event{
		{Time: at(0), Kind: Start, Step: "resolve"},
		{Time: at(0.02), Kind: Cached, Step: "resolve", Text: "same recipe and indexes", Elapsed: elapsed(0.02)},
		{Time: at(0.1), Kind: Start, Step: "fetch", Total: 100 << 20, Unit: Bytes},
		{Time: at(0.2), Kind: Warning, Text: "the mirror \x1b[31mhas no\x1b[0m by-hash"},
		{Time: at(0.6), Kind: Advance, Step: "fetch", Done: 20 << 20, Total: 100 << 20, Unit: Bytes},
		{Time: at(2.1), Kind: Advance, Step: "fetch", Done: 40 << 20, Total: 100 << 20, Unit: Bytes},
		{Time: at(2.2), Kind: Message, Step: "fetch", Text: "linux-image.deb", Done: 41 << 20, Total: 100 << 20, Unit: Bytes},
		{Time: at(8.1), Kind: Advance, Step: "fetch", Done: 43 << 20, Total: 100 << 20, Unit: Bytes},
		{Time: at(9), Kind: Start, Step: "configure", Total: 3, Unit: Packages},
		{Time: at(10.1), Kind: Done, Step: "fetch", Done: 100 << 20, Total: 100 << 20, Unit: Bytes, Elapsed: elapsed(10)},
		{Time: at(10.2), Kind: Start, Step: "initramfs"},
		{Time: at(10.5), Kind: Message, Step: "configure", Text: "libc6", Done: 1, Total: 3, Unit: Packages},
	}
	for i := range 45 {
		events = append(events, Event{Time: at(11 + float64(i)/10), Kind: Log, Step: "configure",
			Text: fmt.Sprintf("line %d\tof a script\r\n", i), Done: 1, Total: 3, Unit: Packages})
	}
	return append(events,
		Event{Time: at(16), Kind: Failed, Step: "configure", Text: "libc6: postinst: exit status 1\nmore", Done: 1, Total: 3, Unit: Packages, Elapsed: elapsed(7)},
		Event{Time: at(16.1), Kind: Failed, Step: "initramfs", Text: "run: context canceled", Elapsed: elapsed(5.9)},
		Event{Time: at(16.1), Kind: Start, Step: "vm"})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update when it should):\n%s", name, got)
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	p := NewPlain(&b)
	for _, e := range script() {
		p.Event(e)
	}
	golden(t, "plain.txt", b.String())
}

func TestLogsWhenAskedFor(t *testing.T) {
	var plain, picture bytes.Buffer
	p, l := NewPlain(&plain), newLive(&picture, LiveOptions{Logs: true})
	p.Logs = true
	for _, e := range script() {
		p.Event(e)
		l.Event(e)
	}
	picture.Write(l.picture(time.Time{}))
	for name, out := range map[string]string{"plain": plain.String(), "live": picture.String()} {
		if n := strings.Count(out, "configure | line "); n != 45 {
			t.Errorf("%s: %d of 45 lines", name, n)
		}
	}
}

func TestQuietTellsWarningsAlone(t *testing.T) {
	var b bytes.Buffer
	q := NewQuiet(&b)
	for _, e := range script() {
		q.Event(e)
	}
	if got, want := b.String(), "warning: the mirror has no by-hash\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJSONLines(t *testing.T) {
	var b bytes.Buffer
	j := NewJSON(&b)
	want := script()
	for _, e := range want {
		j.Event(e)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines for %d events", len(lines), len(want))
	}
	for i, line := range lines {
		var got Event
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		if got != want[i] {
			t.Errorf("line %d: got %+v, want %+v", i, got, want[i])
		}
	}
}

func TestSummary(t *testing.T) {
	var b bytes.Buffer
	s := NewSummary()
	for _, e := range script() {
		s.Event(e)
	}
	s.WriteFailure(&b, "/tmp/full.log")
	s.Write(&b)
	golden(t, "summary.txt", b.String())
}

func TestFailureWithoutOutputSaysNothing(t *testing.T) {
	var b bytes.Buffer
	s := NewSummary()
	s.Event(Event{Kind: Start, Step: "x"})
	s.Event(Event{Kind: Failed, Step: "x", Text: "no"})
	if s.WriteFailure(&b, "/log"); b.Len() > 0 {
		t.Errorf("got %q", b.String())
	}
}

// TestPictures replays the script at three widths and keeps every picture,
// with the control sequences spelled out.
func TestPictures(t *testing.T) {
	for _, columns := range []int{100, 60, 24} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			var b strings.Builder
			l := newLive(&b, LiveOptions{Size: func() (int, int) { return columns, 10 }, Color: columns == 100})
			for _, e := range script() {
				l.Event(e)
				if e.Kind != Log {
					l.tick++
					fmt.Fprintf(&b, "%s", strings.ReplaceAll(string(l.picture(e.Time)), "\x1b", "␛"))
					b.WriteString("\n--\n")
				}
			}
			golden(t, fmt.Sprintf("live-%d.txt", columns), strings.ReplaceAll(b.String(), "\r", "␍"))
		})
	}
}

func TestPictureFitsTheScreen(t *testing.T) {
	var b bytes.Buffer
	l := newLive(&b, LiveOptions{Size: func() (int, int) { return 40, 6 }})
	for i := range 20 {
		l.Event(Event{Kind: Start, Step: fmt.Sprint("step ", i)})
	}
	picture := string(l.picture(time.Time{}))
	if n := strings.Count(picture, "\n"); n > 5 {
		t.Errorf("%d lines on a screen of 6:\n%s", n, picture)
	}
	if !strings.Contains(picture, "and 17 more") {
		t.Errorf("the rest is not counted:\n%s", picture)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                        "plain",
		"\x1b[1;31mred\x1b[0m":         "red",
		"\x1b]0;title\x07text":         "text",
		"\x1b]8;;http://x\x1b\\link":   "link",
		"10%\r20%\r30%\r\n":            "30%",
		"a\tb":                         "a b",
		"bad \xff byte":                "bad ? byte",
		"cut \x1b[3":                   "cut ",
		"\x1bMup":                      "up",
		"bell\a and \u202eoverride":    "bell and override",
		"Trigger für Grüße … (1.2) 変更": "Trigger für Grüße … (1.2) 変更",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\x1b]0;t\x07\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if out := clean(s); strings.ContainsAny(out, "\x1b\r\n\a") {
			t.Errorf("clean(%q) = %q", s, out)
		}
	})
}

func TestFormat(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                          "0.0s",
		-time.Second:               "0.0s",
		9940 * time.Millisecond:    "9.9s",
		9960 * time.Millisecond:    "10s",
		59600 * time.Millisecond:   "1m00s",
		61 * time.Second:           "1m01s",
		3599600 * time.Millisecond: "1h00m",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB"} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) = %q, want %q", n, got, want)
		}
	}
}
