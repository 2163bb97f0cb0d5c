package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Command is what to run in a node.
type Command struct {
	Node           string
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Exec runs a command as root in a node, in all of its namespaces. An
// *exec.ExitError says how the command ended.
func Exec(ctx context.Context, s *State, c Command) error {
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Name != c.Node {
			continue
		}
		if n.PID == 0 {
			return fmt.Errorf("node %s is off", c.Node)
		}
		return onThread(func() error { return c.in(ctx, n.PID) })
	}
	return fmt.Errorf("there is no node %s", c.Node)
}

// in runs the command in the namespaces of a process. The thread is lost.
func (c *Command) in(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("node %s: %w", c.Node, err)
	}
	defer unix.Close(fd)
	// A mount namespace is entered by who shares its folder with nobody.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP
	if err := unix.Setns(fd, all); err != nil {
		return fmt.Errorf("enter node %s: %w", c.Node, err)
	}
	// Where the search for a program goes, here and for what it starts.
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
	name, err := find(c.Args[0], path)
	if err != nil {
		return fmt.Errorf("node %s: %w", c.Node, err)
	}
	cmd := exec.CommandContext(ctx, name, c.Args[1:]...)
	cmd.Args[0] = c.Args[0]
	cmd.Dir = "/root"
	cmd.Env = []string{"PATH=" + path, "HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8", "TERM=" + os.Getenv("TERM"), "debian_chroot=" + c.Node}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	return cmd.Run()
}

// find looks a program up in the node, where this thread is.
func find(name, path string) (string, error) {
	if name == "" {
		return "", errors.New("no command")
	}
	if filepath.Base(name) != name {
		return name, nil
	}
	for _, dir := range filepath.SplitList(path) {
		at := filepath.Join(dir, name)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return at, nil
		}
	}
	return "", fmt.Errorf("there is no command %s", name)
}
