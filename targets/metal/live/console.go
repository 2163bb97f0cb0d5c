package live

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// consoles are all of the machine's: what is said is said on each of them, and
// whoever answers first is heard.
type consoles struct {
	files  []io.ReadWriteCloser
	listen sync.Once // to all of them, from the first question on
	lines  chan string
}

// errQuit says that somebody does not want to go on.
var errQuit = errors.New("ended by the user")

// openConsoles opens those that the kernel lists.
func openConsoles(active, dev string) (*consoles, error) {
	data, err := os.ReadFile(active)
	if err != nil {
		return nil, err
	}
	var files []io.ReadWriteCloser
	for _, name := range strings.Fields(string(data)) {
		if name == "tty0" {
			name = "tty1" // tty0 is whichever is shown; this one is at boot
		}
		f, err := os.OpenFile(filepath.Join(dev, name), os.O_RDWR|unix.O_NOCTTY, 0)
		if err == nil {
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("no console to talk on")
	}
	return newConsoles(files), nil
}

func newConsoles(files []io.ReadWriteCloser) *consoles {
	return &consoles{files: files, lines: make(chan string)}
}

func (c *consoles) hear(f io.Reader) {
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		switch {
		case err == nil:
			c.lines <- strings.TrimSpace(line)
		case errors.Is(err, os.ErrClosed) || !isTTY(f):
			return
		default:
			time.Sleep(time.Second) // a serial port without anybody hangs up now and then
		}
	}
}

func isTTY(f io.Reader) bool { _, ok := f.(*os.File); return ok }

func (c *consoles) say(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\r\n")
	for _, f := range c.files {
		// One that fails is one that nobody looks at.
		_, _ = io.WriteString(f, text)
	}
}

// line is the next line that anybody types.
func (c *consoles) line() (string, error) {
	c.listen.Do(func() {
		for _, f := range c.files {
			go c.hear(f)
		}
	})
	line, ok := <-c.lines
	if !ok {
		return "", io.ErrUnexpectedEOF
	}
	return line, nil
}

func (c *consoles) close() {
	for _, f := range c.files {
		f.Close()
	}
}

// question asks until the answer is good.
func (c *consoles) question(text string, check func(string) error) (string, error) {
	for {
		c.say("%s: ", text)
		answer, err := c.line()
		if err != nil {
			return "", err
		}
		if answer == "quit" {
			return "", errQuit
		}
		err = check(answer)
		if err == nil {
			return answer, nil
		}
		c.say("  %v\n", err)
	}
}

// ask asks for all that is not known yet.
func (o *Answers) ask(c *consoles, d *disks, image string) error {
	list, err := d.list()
	if err != nil {
		return err
	}
	c.say("\nThis installs %s to a disk of this machine. \"quit\" starts the live system instead.\n\n", image)
	byName := map[string]disk{}
	for i, x := range list {
		if x.refused != "" {
			c.say("    -  %-14s %s: %s\n", x.path, x.describe(), x.refused)
			continue
		}
		byName[fmt.Sprint(i+1)], byName[x.path], byName[x.name] = x, x, x
		c.say("  %3d  %-14s %s\n", i+1, x.path, x.describe())
	}
	if len(byName) == 0 {
		return fmt.Errorf("%w: there is no disk to install to", errQuit)
	}
	var chosen disk
	if _, err = c.question("Disk", func(s string) error {
		var ok bool
		if chosen, ok = byName[s]; !ok {
			return errors.New("give the number of a disk, or its name")
		}
		return nil
	}); err != nil {
		return err
	}
	o.Disk = chosen.path
	for _, q := range []struct {
		text  string
		to    *string
		check func(string) error
	}{
		{"Host name (Enter for the image's)", &o.Hostname, checkHostname},
		{"SSH public key of the administrator (Enter for none)", &o.SSHKey, checkKey},
		{"Invitation into the mesh (Enter for none)", &o.Invitation, checkInvitation},
	} {
		if *q.to, err = c.question(q.text, q.check); err != nil {
			return err
		}
	}
	warning := "It is empty."
	if chosen.used {
		warning = "Everything on it will be lost."
	}
	_, err = c.question(fmt.Sprintf("\n%s, %s. %s Type \"yes\" to install", chosen.path, chosen.describe(), warning), func(s string) error {
		if s != "yes" {
			return errors.New("type yes or quit")
		}
		return nil
	})
	return err
}
