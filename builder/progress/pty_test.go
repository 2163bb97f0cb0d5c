package progress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY returns both ends of a new pseudo terminal of the given size (pts(4)).
func openPTY(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("no pseudo terminals: ", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// TestLiveOnATerminal runs real work against a pseudo terminal and reads back
// what a person would see when it is over.
func TestLiveOnATerminal(t *testing.T) {
	master, slave := openPTY(t, 90, 12)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	output := make(chan string)
	drawn := make(chan struct{}) // closed when a bar has come
	go func() {
		var b []byte
		for chunk := make([]byte, 4096); ; {
			n, err := master.Read(chunk) // ends with EIO when the last writer has closed
			before := bytes.Contains(b, []byte("━"))
			if b = append(b, chunk[:n]...); !before && bytes.Contains(b, []byte("━")) {
				close(drawn)
			}
			if err != nil {
				break
			}
		}
		output <- string(b)
	}()

	live := NewLive(slave, LiveOptions{Size: func() (int, int) {
		ws, err := unix.IoctlGetWinsize(int(slave.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0, 0
		}
		return int(ws.Col), int(ws.Row)
	}})
	ctx := With(context.Background(), live)
	fetch := Begin(ctx, "fetch", 10<<20, Bytes)
	for range 10 {
		fetch.Message("something with a very long name that does not fit into the columns of this small terminal")
		fetch.Add(1 << 20)
	}
	select {
	case <-drawn:
	case <-time.After(3 * time.Minute):
		t.Error("no bar was ever drawn")
	}
	_ = fetch.End(nil)
	Warn(ctx, "something to know")
	stuck := Begin(ctx, "stuck", 0, "")
	stuck.Log("not to be seen")
	failing := Begin(ctx, "failing", 3, Items)
	time.Sleep(3 * frameEvery) // it may be drawn, too
	_ = failing.End(errors.New("it broke"))
	live.Close()
	live.Close() // again is allowed

	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *before != *after {
		t.Error("the terminal's modes changed")
	}
	slave.Close()
	raw := <-output
	if strings.Contains(raw, "?25l") {
		t.Error("the cursor was hidden")
	}
	if on, off := strings.LastIndex(raw, "\x1b[?7h"), strings.LastIndex(raw, "\x1b[?7l"); off > on {
		t.Error("line wrapping was left off")
	}
	if strings.Contains(raw, "not to be seen") {
		t.Error("a program's output was shown without a failure")
	}
	screen := terminalScreen(raw)
	want := []string{"✓ fetch  10.0 MiB", "warning: something to know", "✗ failing  failed after ", "! stuck  stopped after "}
	if len(screen) != len(want) {
		t.Fatalf("the screen at the end:\n%s", strings.Join(screen, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(screen[i], want[i]) {
			t.Errorf("line %d is %q, want %q...", i, screen[i], want[i])
		}
	}
}

// terminalScreen is a terminal that knows just the sequences that Live uses.
func terminalScreen(raw string) []string {
	lines, row, column := [][]rune{nil}, 0, 0
	for i := 0; i < len(raw); {
		if raw[i] == 0x1b {
			n := escapeLen(raw[i:])
			seq := raw[i+2 : i+n]
			switch seq[len(seq)-1] {
			case 'A':
				var up int
				fmt.Sscanf(seq, "%dA", &up)
				row = max(0, row-up)
			case 'K':
				lines[row] = lines[row][:min(column, len(lines[row]))]
			case 'J':
				lines = append(lines[:row], lines[row][:min(column, len(lines[row]))])
			}
			i += n
			continue
		}
		r := []rune(raw[i:min(len(raw), i+4)])[0]
		i += len(string(r))
		switch r {
		case '\r':
			column = 0
		case '\n':
			if row++; row == len(lines) {
				lines = append(lines, nil)
			}
		default:
			for len(lines[row]) <= column {
				lines[row] = append(lines[row], ' ')
			}
			lines[row][column] = r
			column++
		}
	}
	var out []string
	for _, l := range lines {
		if s := strings.TrimRight(string(l), " "); s != "" {
			out = append(out, s)
		}
	}
	return out
}
