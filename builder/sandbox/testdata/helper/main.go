// Helper does inside test roots what a shell cannot.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		return 2
	}
	switch args[0] {
	case "fsync": // on a pipe it fails with EINVAL, unless nobody asks the kernel
		var p [2]int
		if err := unix.Pipe(p[:]); err != nil {
			fmt.Println(err)
			return 1
		}
		for name, err := range map[string]error{
			"fsync": unix.Fsync(p[0]), "fdatasync": unix.Fdatasync(p[0]), "sync_file_range": unix.SyncFileRange(p[0], 0, 0, 0),
			"syncfs": unix.Syncfs(-1),
		} {
			if err != nil {
				fmt.Println(name, err)
				return 1
			}
		}
		fmt.Println("free")
	case "daemon": // forks twice, as daemons do, and stays
		cmd := exec.Command("/bin/helper", "second", args[1])
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			return 1
		}
		cmd.Wait()
	case "second":
		p, err := os.StartProcess("/bin/helper", []string{"helper", "stay", args[1]}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}, Files: []*os.File{nil, nil, nil}})
		if err != nil {
			return 1
		}
		p.Release()
	case "stay": // args[1] marks the process for those who look for it
		signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
		time.Sleep(time.Hour)
	}
	return 0
}
