// Growinit is the init of a virtual machine whose root is an image under
// test: it grows the mounted root to the size on its kernel command line
// (grow=BYTES), writes to it, and powers off.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const resizeFS = 0x40086610 // EXT4_IOC_RESIZE_FS: _IOW('f', 16, __u64)

func main() {
	if err := run(); err != nil {
		fmt.Println("GROW FAILED:", err)
	} else {
		fmt.Println("GROW DONE")
	}
	unix.Sync()
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		fmt.Println("remount:", err)
	}
	time.Sleep(time.Second)
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	unix.Reboot(unix.LINUX_REBOOT_CMD_HALT)
}

func run() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	_, text, _ := strings.Cut(string(line), "grow=")
	size, err := strconv.ParseUint(strings.Fields(text)[0], 10, 64)
	if err != nil {
		return err
	}
	root, err := os.Open("/")
	if err != nil {
		return err
	}
	defer root.Close()
	blocks := size / 4096
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, root.Fd(), resizeFS, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("EXT4_IOC_RESIZE_FS to %d blocks: %w", blocks, errno)
	}
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil {
		return err
	}
	fmt.Printf("now %d blocks, %d free, %d inodes\n", st.Blocks, st.Bfree, st.Files)
	if st.Blocks < blocks*9/10 {
		return fmt.Errorf("%d blocks after growing to %d", st.Blocks, blocks)
	}
	for i := range 200 {
		dir := fmt.Sprintf("/new-%d", i)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/file", make([]byte, 10000), 0o644); err != nil {
			return err
		}
	}
	return nil
}
