package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// limit is a setting of the kernel that counts over all namespaces, and is
// made for one machine and not for dozens.
type limit struct {
	name string // below /proc/sys
	need func(nodes int) int
}

// limits are raised for as long as a lab runs.
func limits() []limit {
	// Every systemd watches files with some ten inotify instances, and all
	// nodes' root is one user to the kernel. The default is 128.
	list := []limit{{"fs/inotify/max_user_instances", func(nodes int) int { return nodes*12 + 512 }}}
	// Over the mesh each node is every other one's neighbour, by IPv4 and
	// IPv6, and the kernel has one table for all. Full, at 1024, it refuses to
	// send (arp(7), gc_thresh3; "invalid argument" is what programs see).
	for _, family := range []string{"ipv4", "ipv6"} {
		for i, part := range []int{4, 2, 1} {
			name := fmt.Sprintf("net/%s/neigh/default/gc_thresh%d", family, i+1)
			list = append(list, limit{name, func(nodes int) int { return (nodes*nodes*4 + 1024) / part }})
		}
	}
	return list
}

// limitFile has what was raised, in the lab's folder: name to old and new.
const limitFile = "limits.json"

// raiseLimits lets the kernel bear so many nodes, and notes what it was.
func raiseLimits(dir string, nodes int) error {
	raised := map[string][2]int{}
	for _, l := range limits() {
		have, err := readLimit(l.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6, say: then there is nothing to run out of
		}
		if err != nil {
			return err
		}
		if want := l.need(nodes); have < want {
			raised[l.name] = [2]int{have, want}
		}
	}
	// The note first: it must not be missing when a limit is another.
	data, err := json.Marshal(raised)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, limitFile), data, 0o644); err != nil {
		return err
	}
	for name, v := range raised {
		if err := writeLimit(name, v[1]); err != nil {
			return err
		}
	}
	return nil
}

// restoreLimits undoes raiseLimits, but for limits that somebody else has set
// since.
func restoreLimits(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, limitFile))
	raised := map[string][2]int{}
	if err != nil || json.Unmarshal(data, &raised) != nil {
		return nil // never raised, or cut off while it was noted
	}
	var errs []error
	for name, v := range raised {
		have, err := readLimit(name)
		if err == nil && have == v[1] {
			err = writeLimit(name, v[0])
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func limitPath(name string) string { return filepath.Join("/proc/sys", name) }

func readLimit(name string) (int, error) {
	data, err := os.ReadFile(limitPath(name))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

func writeLimit(name string, n int) error {
	return os.WriteFile(limitPath(name), []byte(strconv.Itoa(n)), 0)
}
