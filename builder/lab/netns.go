package lab

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// space is a network namespace that this process holds.
type space struct {
	file *os.File
	*netlink.Handle
}

// onThread runs f on a thread of its own, which ends with it: what f does to
// the thread's namespaces concerns nobody else.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- f()
	}()
	return <-done
}

// newSpace makes a network namespace.
func newSpace() (*space, error) {
	var s *space
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		var err error
		s, err = openSpace("/proc/thread-self/ns/net")
		return err
	})
	return s, err
}

// openSpace opens the network namespace at a path of /proc.
func openSpace(path string) (*space, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a network namespace: %w", err)
	}
	s := &space{file: f}
	// In there already, netlink need not look for its way back at this
	// process's number in /proc, where it has another one.
	err = s.do(func() error {
		s.Handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return s, nil
}

// do runs f with the namespace as its own.
func (s *space) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// sysctl sets keys below /proc/sys/net of the namespace.
func (s *space) sysctl(value string, keys ...string) error {
	return s.do(func() error {
		for _, k := range keys {
			if err := os.WriteFile("/proc/sys/net/"+k, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
}
