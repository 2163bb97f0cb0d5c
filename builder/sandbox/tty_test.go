package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal makes a terminal of the host, as a user would sit at.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	need(t, err == nil, fmt.Sprint("no terminals here: ", err))
	master = os.NewFile(uintptr(m), "master")
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	need(t, err == nil, fmt.Sprint("no terminals here: ", err))
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// prompted keeps what is written to it, and answers when the prompt has come.
type prompted struct {
	bytes.Buffer
	prompt string
	answer func()
}

func (p *prompted) Write(b []byte) (int, error) {
	n, err := p.Buffer.Write(b)
	if p.answer != nil && strings.Contains(p.String(), p.prompt) {
		p.answer()
		p.answer = nil
	}
	return n, err
}

func TestTerminal(t *testing.T) {
	namespaces(t)
	s := open(t, newRoot(t), Options{})
	master, slave := terminal(t)
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
		t.Fatal(err)
	}
	before, err := term.GetState(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERM", "xterm-test")
	out := &prompted{prompt: "controlled\r\n", answer: func() { master.WriteString("typed\r") }}
	err = s.Run(t.Context(), Command{
		Args: []string{"sh", "-c", "tty; stty size; echo $TERM; : </dev/tty && echo controlled; read x; echo got $x; exit 5"},
		TTY:  true, Stdin: slave, Stdout: out, Timeout: patience,
	})
	if e, ok := err.(interface{ Unwrap() error }); !ok || !strings.Contains(e.Unwrap().Error(), "exit status 5") {
		t.Errorf("got %v", err)
	}
	want := "/dev/pts/0\r\n33 77\r\nxterm-test\r\ncontrolled\r\ntyped\r\ngot typed\r\n"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
	after, err := term.GetState(int(slave.Fd()))
	if err != nil || *after != *before {
		t.Errorf("the terminal was not restored: %v", err)
	}
}

func TestTerminalWithoutOne(t *testing.T) {
	s := open(t, newRoot(t), Options{})
	var out bytes.Buffer
	err := s.Run(t.Context(), Command{Args: []string{"sh", "-c", "cat; echo end"}, TTY: true, Stdin: strings.NewReader("line\n"), Stdout: &out, Timeout: patience})
	if err != nil || !strings.HasSuffix(strings.ReplaceAll(out.String(), "\r", ""), "line\nend\n") {
		t.Errorf("%v: %q", err, out.String())
	}
}
