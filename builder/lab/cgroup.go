package lab

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchies are where this machine's control groups are mounted: the
// unified one (cgroups(7), version 2), which systemd in a node needs, and the
// one that limits memory, which on older systems is one of version 1.
type hierarchies struct {
	unified string
	memory  string // version 1; empty where the unified one limits memory
}

// findHierarchies reads the mount table.
func findHierarchies() (hierarchies, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return hierarchies{}, err
	}
	defer f.Close()
	var h hierarchies
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text()) // device, folder, type, options
		if len(w) < 4 {
			continue
		}
		switch {
		case w[2] == "cgroup2" && h.unified == "":
			h.unified = w[1]
		case w[2] == "cgroup" && h.memory == "":
			for _, o := range strings.Split(w[3], ",") {
				if o == "memory" {
					h.memory = w[1]
				}
			}
		}
	}
	if h.unified == "" {
		return h, errors.New("no cgroup2 file system is mounted; mount one at /sys/fs/cgroup, or at /sys/fs/cgroup/unified")
	}
	return h, nil
}

// group is the control group, in a hierarchy, of the lab in a folder: of its
// name, and of the folder, for another user may have a lab of the name.
func group(hierarchy, dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(hierarchy, "cloudy-lab-"+filepath.Base(dir)+"-"+hex.EncodeToString(sum[:3]))
}

func (h hierarchies) all() []string {
	if h.memory != "" {
		return []string{h.unified, h.memory}
	}
	return []string{h.unified}
}

// make makes the groups of a node and returns the files that a process
// enters them by. limit is in bytes; 0 is none.
func (h hierarchies) make(dir, node string, limit int64) (enter []string, err error) {
	for _, hierarchy := range h.all() {
		at := filepath.Join(group(hierarchy, dir), node)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return nil, fmt.Errorf("make a control group: %w", err)
		}
		enter = append(enter, filepath.Join(at, "cgroup.procs"))
		if limit == 0 {
			continue
		}
		file := "memory.max"
		if hierarchy == h.memory {
			file = "memory.limit_in_bytes"
		} else if h.memory != "" {
			continue
		} else {
			for _, d := range []string{hierarchy, group(hierarchy, dir)} {
				if err := os.WriteFile(filepath.Join(d, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
					return nil, fmt.Errorf("limit memory: %w", err)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(at, file), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
			return nil, fmt.Errorf("limit memory to %d bytes: %w", limit, err)
		}
	}
	return enter, nil
}

// memory returns the bytes that a node uses, file pages included, or 0 where
// nobody counts them.
func (h hierarchies) used(dir, node string) int64 {
	file, hierarchy := "memory.current", h.unified
	if h.memory != "" {
		file, hierarchy = "memory.usage_in_bytes", h.memory
	}
	data, err := os.ReadFile(filepath.Join(group(hierarchy, dir), node, file))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n
}

// remove removes the groups of a lab whose processes have ended.
func (h hierarchies) remove(dir string) error {
	var errs []error
	for _, hierarchy := range h.all() {
		errs = append(errs, removeGroup(group(hierarchy, dir)))
	}
	return errors.Join(errs...)
}

func removeGroup(top string) error {
	// The kernel takes a while to let go of the dead.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := removeGroups(top)
		if err == nil || !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

func removeGroups(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroups(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "remove control group", Path: dir, Err: err}
	}
	return nil
}
