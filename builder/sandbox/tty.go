package sandbox

import (
	"io"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// windowSize is the size of the terminal behind r in characters, or zeros.
func windowSize(r io.Reader) (rows, cols uint16) {
	if f, ok := r.(*os.File); ok {
		if w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return w.Row, w.Col
		}
	}
	return 0, 0
}

// terminalType is the caller's kind of terminal: the one thing of its
// environment that a shell inside has to know.
func terminalType() string {
	if t := os.Getenv("TERM"); t != "" {
		return t
	}
	return "dumb"
}

// connect joins the caller's input and output with the master of the command's terminal.
func (x *execution) connect(master *os.File, c Command) {
	if master == nil {
		return
	}
	// Through the poller, so that a deadline can end a read.
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return
	}
	master.Close()
	unix.SetNonblock(fd, true)
	master = os.NewFile(uintptr(fd), "terminal")
	x.ours = append(x.ours, master)
	x.copy(c.Stdout, master)

	quitR, quitW, err := os.Pipe()
	if err != nil {
		return
	}
	var helpers sync.WaitGroup
	stop := []func(){func() { quitW.Close() }}
	if f, ok := c.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if state, err := term.MakeRaw(int(f.Fd())); err == nil {
			stop = append(stop, func() { term.Restore(int(f.Fd()), state) })
		}
		resized := make(chan os.Signal, 1)
		signal.Notify(resized, unix.SIGWINCH)
		stop = append(stop, func() { signal.Stop(resized); close(resized) })
		conn, err := master.SyscallConn()
		helpers.Go(func() {
			for range resized {
				w, werr := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
				if err == nil && werr == nil {
					conn.Control(func(fd uintptr) { unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, w) })
				}
			}
		})
	}
	switch in := c.Stdin.(type) {
	case nil:
		quitR.Close()
	case *os.File:
		helpers.Go(func() {
			defer quitR.Close()
			feed(master, in, quitR)
		})
	default:
		quitR.Close()
		go func() {
			io.Copy(master, in)
			master.Write([]byte{4}) // ^D: the end of input on a terminal
		}()
	}
	x.restore = func() {
		for _, f := range stop {
			f()
		}
		helpers.Wait() // then nobody reads the caller's terminal any more
	}
}

// feed copies input until its end or until quit is closed on the other side,
// without taking a byte that nobody will read.
func feed(w io.Writer, in, quit *os.File) {
	buf := make([]byte, 4096)
	for {
		fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}, {Fd: int32(quit.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		if fds[0].Revents == 0 {
			continue
		}
		n, err := unix.Read(int(in.Fd()), buf)
		if n <= 0 && err != unix.EINTR {
			w.Write([]byte{4})
			return
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}
