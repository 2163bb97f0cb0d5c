// Command init is the first and only program of a machine that a test boots.
// It says on the console how it was booted, and turns the machine off.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

func main() {
	syscall.Mkdir("/proc", 0o755)
	syscall.Mkdir("/sys", 0o755)
	syscall.Mount("proc", "/proc", "proc", 0, "")
	syscall.Mount("sysfs", "/sys", "sysfs", 0, "")
	firmware := "other"
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		firmware = "uefi"
	}
	line, _ := os.ReadFile("/proc/cmdline")
	var uts syscall.Utsname
	syscall.Uname(&uts)
	machine := ""
	for _, c := range uts.Machine {
		if c == 0 {
			break
		}
		machine += string(rune(c))
	}
	fmt.Printf("\nTEST-READY firmware=%s machine=%s cmdline=%s\n", firmware, machine, strings.TrimSpace(string(line)))
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
