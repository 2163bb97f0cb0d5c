package sandbox

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// procStat is a process as /proc/PID/stat shows it (proc(5)).
type procStat struct {
	pid, ppid, session int
	state              byte
}

// processes lists all processes that p.proc shows.
func (p *initProc) processes() []procStat {
	d, err := p.proc.Open(".")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var list []procStat
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if st, ok := p.stat(pid); ok {
				list = append(list, st)
			}
		}
	}
	return list
}

func (p *initProc) stat(pid int) (procStat, bool) {
	f, err := p.proc.Open(strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, false
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	// The name, in brackets, may hold anything, brackets too.
	i := bytes.LastIndexByte(data, ')')
	if err != nil || i < 0 {
		return procStat{}, false
	}
	fields := bytes.Fields(data[i+1:])
	if len(fields) < 4 {
		return procStat{}, false
	}
	ppid, _ := strconv.Atoi(string(fields[1]))
	session, _ := strconv.Atoi(string(fields[3]))
	return procStat{pid: pid, ppid: ppid, session: session, state: fields[0][0]}, true
}

// kill ends a command with all that it started: everything that runs, when it
// is the only command. Else its login session and its descendants, and what
// has left both lives until the session's end.
func (p *initProc) kill(id uint64) {
	p.mu.Lock()
	j := p.byID[id]
	alone := len(p.byID) == 1
	list := p.processes()
	p.mu.Unlock()
	if j == nil {
		return
	}
	known := map[int]bool{j.pid: true}
	if alone { // as of now: a command that comes next is spared
		known = descend(list, map[int]bool{os.Getpid(): false})
	}
	p.killUntilGone(func(list []procStat) map[int]bool {
		doomed := map[int]bool{}
		for _, st := range list {
			if st.session == j.pid || known[st.pid] {
				doomed[st.pid] = true
			}
		}
		return doomed
	})
}

// descend adds the descendants of the processes in set to it.
func descend(list []procStat, set map[int]bool) map[int]bool {
	for grew := true; grew; {
		grew = false
		for _, st := range list {
			_, parent := set[st.ppid]
			if _, known := set[st.pid]; parent && !known {
				set[st.pid], grew = true, true
			}
		}
	}
	return set
}

// killAll ends every process of the session and collects them.
func (p *initProc) killAll() {
	if p.mode != ModePlain {
		// Process 1 of a namespace reaches all others and none else.
		for range 200 {
			if unix.Kill(-1, unix.SIGKILL) == unix.ESRCH {
				return
			}
			for p.reapOne(0) {
			}
			time.Sleep(time.Millisecond)
		}
		return
	}
	self := os.Getpid()
	p.killUntilGone(func([]procStat) map[int]bool { return map[int]bool{self: false} })
}

// killUntilGone kills the processes that seed picks, and their descendants,
// again and again until none is left. A process that seed maps to false is
// spared, but its descendants are not.
func (p *initProc) killUntilGone(seed func([]procStat) map[int]bool) {
	for range 200 {
		list := p.processes()
		doomed := descend(list, seed(list))
		left := 0
		for _, st := range list {
			if doomed[st.pid] && st.state != 'Z' {
				left++
				unix.Kill(st.pid, unix.SIGKILL)
			}
		}
		for p.reapOne(0) {
		}
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
