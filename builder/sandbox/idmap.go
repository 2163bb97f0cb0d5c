package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"cloudy/builder/fail"

	"golang.org/x/sys/unix"
)

// IDRange is a row of a user namespace's id map: count ids, from inside on
// within it and from outside on outside.
type IDRange struct {
	Inside, Outside, Count int
}

// neededIDs are the ids that a Debian system uses besides root's: 1 to 65535,
// of which 65534 is nobody.
const neededIDs = 65535

// idMaps are the maps of a namespace to be made.
type idMaps struct {
	uid, gid []IDRange
	helper   bool // the kernel takes them from newuidmap and newgidmap only
}

// newIDMaps decides on the maps. Root gives on what it has itself; an
// ordinary user is root inside and has its subordinate ids for the others.
func newIDMaps() (idMaps, error) {
	if os.Geteuid() == 0 {
		u, err := identityMap("/proc/self/uid_map")
		if err != nil {
			return idMaps{}, err
		}
		g, err := identityMap("/proc/self/gid_map")
		return idMaps{u, g, false}, err
	}
	u, uerr := SubIDs("/etc/subuid", os.Getuid())
	g, gerr := SubIDs("/etc/subgid", os.Getuid())
	var path error
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(name); err != nil && path == nil {
			path = fail.WithHint(fail.Host, fmt.Errorf("%s was not found", name), "Install it: `sudo apt install uidmap` on Debian and Ubuntu, package shadow-utils elsewhere.")
		}
	}
	if err := errors.Join(firstOf(uerr, gerr), path); err != nil {
		return idMaps{}, err
	}
	return idMaps{spread(os.Getuid(), u), spread(os.Getgid(), g), true}, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// spread maps 0 to own, and 1 and up to the ranges.
func spread(own int, ranges []IDRange) []IDRange {
	m := []IDRange{{0, own, 1}}
	next := 1
	for _, r := range ranges {
		n := min(r.Count, neededIDs+1-next)
		if n > 0 {
			m = append(m, IDRange{next, r.Outside, n})
			next += n
		}
	}
	return m
}

func identityMap(file string) ([]IDRange, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var m []IDRange
	for line := range strings.Lines(string(data)) {
		var inside, outside, count int
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		m = append(m, IDRange{inside, inside, count})
	}
	return m, nil
}

// SubIDs returns the subordinate ids of a user from a file like /etc/subuid
// (subuid(5)); Inside is 0 in them. Too few of them for a Debian system is an
// error of kind fail.Host that says how to get them.
func SubIDs(file string, uid int) ([]IDRange, error) {
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	f, err := os.Open(file)
	var ranges []IDRange
	if err == nil {
		defer f.Close()
		ranges, err = parseSubIDs(f, name, strconv.Itoa(uid))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fail.Mark(fail.Host, fmt.Errorf("read %s: %w", file, err))
	}
	total := 0
	for _, r := range ranges {
		total += r.Count
	}
	if total < neededIDs {
		what := "no subordinate ids"
		if total > 0 {
			what = fmt.Sprintf("only %d subordinate ids", total)
		}
		return ranges, fail.WithHint(fail.Host, fmt.Errorf("user %s has %s in %s; a Debian system needs %d", name, what, file, neededIDs),
			fmt.Sprintf("As root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s` (with a range that no one else has).", name))
	}
	return ranges, nil
}

// parseSubIDs reads lines "name-or-uid:start:count".
func parseSubIDs(r io.Reader, names ...string) ([]IDRange, error) {
	var ranges []IDRange
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		part := strings.Split(line, ":")
		if len(part) != 3 {
			continue // newuidmap skips such lines as well
		}
		start, err1 := strconv.ParseUint(part[1], 10, 32)
		count, err2 := strconv.ParseUint(part[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 {
			continue
		}
		for _, n := range names {
			if part[0] == n {
				ranges = append(ranges, IDRange{0, int(start), int(count)})
				break
			}
		}
	}
	return ranges, sc.Err()
}

// write sets the maps of process pid.
func (m idMaps) write(ctx context.Context, pid int) error {
	for _, w := range []struct {
		helper, file string
		rows         []IDRange
	}{{"newuidmap", "uid_map", m.uid}, {"newgidmap", "gid_map", m.gid}} {
		if !m.helper {
			var b bytes.Buffer
			for _, r := range w.rows {
				fmt.Fprintf(&b, "%d %d %d\n", r.Inside, r.Outside, r.Count)
			}
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, w.file), b.Bytes(), 0); err != nil {
				return explainUserNS(fmt.Errorf("map ids: %w", err))
			}
			continue
		}
		args := []string{strconv.Itoa(pid)}
		for _, r := range w.rows {
			args = append(args, strconv.Itoa(r.Inside), strconv.Itoa(r.Outside), strconv.Itoa(r.Count))
		}
		out, err := exec.CommandContext(ctx, w.helper, args...).CombinedOutput()
		if err != nil {
			return fail.WithHint(fail.Host, fmt.Errorf("map ids: %s: %w: %s", w.helper, err, bytes.TrimSpace(out)),
				fmt.Sprintf("%s must be setuid root (or have the file capability), and nothing may run this program with no_new_privs.", w.helper))
		}
	}
	return nil
}

// explainUserNS adds to a failure of user namespaces what forbids them, as far as the kernel's settings show.
func explainUserNS(err error) error {
	zero := func(file string) bool {
		data, err := os.ReadFile(file)
		return err == nil && strings.TrimSpace(string(data)) == "0"
	}
	hint := "This kernel, or what this program runs in, forbids user namespaces. In a container, run it with CAP_SYS_ADMIN or as root."
	switch {
	case zero("/proc/sys/kernel/unprivileged_userns_clone"):
		hint = "Allow user namespaces, as root: `sysctl -w kernel.unprivileged_userns_clone=1`."
	case zero("/proc/sys/user/max_user_namespaces"):
		hint = "Allow user namespaces, as root: `sysctl -w user.max_user_namespaces=10000`."
	case exists("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") && !zero("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"):
		hint = "AppArmor restricts user namespaces here (Ubuntu 23.10 and later). Give this program a profile with `userns,`, or as root: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`."
	case errors.Is(err, unix.EINVAL) || !exists("/proc/self/ns/user"):
		hint = "This kernel has no user namespaces (CONFIG_USER_NS). Build as root."
	case errors.Is(err, unix.ENOSPC):
		hint = "The limit of user namespaces is reached. As root: `sysctl -w user.max_user_namespaces=10000`."
	}
	return fail.WithHint(fail.Host, err, hint)
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
