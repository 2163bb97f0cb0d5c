package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Every systemd watches files with some ten inotify instances (one of itself,
// others of its services), and all nodes' root is one user to the kernel,
// whose default for a user is 128.
const (
	inotifyLimit    = "/proc/sys/fs/inotify/max_user_instances"
	inotifyPerNode  = 12
	inotifyForOther = 512
	limitFile       = "inotify" // in the lab's folder: the old limit, and the one set
)

// raiseLimits lets the kernel bear so many nodes, and notes what it was.
func raiseLimits(dir string, nodes int) error {
	have, err := readLimit()
	if err != nil {
		return err
	}
	want := nodes*inotifyPerNode + inotifyForOther
	if have >= want {
		return nil
	}
	// The note first: it must not be missing when the limit is another.
	note := fmt.Sprintf("%d %d\n", have, want)
	if err := os.WriteFile(filepath.Join(dir, limitFile), []byte(note), 0o644); err != nil {
		return err
	}
	return os.WriteFile(inotifyLimit, []byte(strconv.Itoa(want)), 0)
}

// restoreLimits undoes raiseLimits, unless somebody else has set another.
func restoreLimits(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, limitFile))
	if err != nil {
		return nil // never raised
	}
	var old, set int
	if _, err := fmt.Sscan(string(data), &old, &set); err != nil {
		return nil // cut off while it was written: not raised
	}
	if have, err := readLimit(); err != nil || have != set {
		return err
	}
	return os.WriteFile(inotifyLimit, []byte(strconv.Itoa(old)), 0)
}

func readLimit() (int, error) {
	data, err := os.ReadFile(inotifyLimit)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}
