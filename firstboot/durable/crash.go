//go:build crashtest

package durable

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
)

var crashMu sync.Mutex

// point kills the process, without any chance to tidy up, when it comes to a
// step of a write for the first time in the life of the log that
// CLOUDY_CRASH_LOG names. Started again and again with the same log, a
// program dies once at each step of each of its writes.
func point(path, step string) {
	log := os.Getenv("CLOUDY_CRASH_LOG")
	if log == "" {
		return
	}
	crashMu.Lock()
	defer crashMu.Unlock()
	seen, _ := os.ReadFile(log)
	line := fmt.Sprintf("%s %s\n", step, path)
	if strings.Contains(string(seen), line) {
		return
	}
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString(line); err != nil {
		panic(err)
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
