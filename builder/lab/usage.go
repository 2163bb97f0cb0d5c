package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// hertz is the unit of times in /proc/PID/stat: USER_HZ, 100 on all that
// Linux runs on (proc(5), time(7)).
const hertz = 100

// usage looks at all processes of the lab: what those of one name take
// together, and what the agent of each node, by the number of its systemd.
func usage(nodes map[string]int) (all map[string]Use, agents map[int]int64) {
	all, agents = map[string]Use{}, map[int]int64{}
	spaces := map[string]int{} // process namespace -> systemd's number
	for _, pid := range nodes {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil {
			spaces[ns] = pid
		}
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		ns, err := os.Readlink(dir + "/ns/pid")
		if err != nil {
			continue
		}
		node, ours := spaces[ns]
		if !ours {
			continue
		}
		name, resident, cpu, ok := process(dir)
		if !ok {
			continue
		}
		u := all[name]
		u.Count++
		u.Resident += resident
		u.Largest = max(u.Largest, resident)
		u.CPU += Seconds(cpu)
		all[name] = u
		if name == "cloudy-node" {
			agents[node] = max(agents[node], resident)
		}
	}
	return all, agents
}

// process returns a process's name, resident bytes and seconds of CPU, with
// those of its children that have ended.
func process(dir string) (name string, resident int64, cpu float64, ok bool) {
	data, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return "", 0, 0, false
	}
	// pid (name) state ppid ...: the name may have blanks and parentheses.
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return "", 0, 0, false
	}
	f := strings.Fields(string(data[end+1:]))
	if len(f) < 22 {
		return "", 0, 0, false
	}
	var ticks int64
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(f[i], 10, 64)
		ticks += n
	}
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	return string(data[open+1 : end]), pages * int64(os.Getpagesize()), float64(ticks) / hertz, true
}
