package agent

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cloudy/firstboot/page"
)

// machineFacts fills in what the kernel says of the machine (proc(5)). What
// cannot be read is left out.
func (a *Agent) machineFacts(f *page.Facts) {
	fields := func(path string) []string {
		data, _ := os.ReadFile(path)
		return strings.Fields(string(data))
	}
	if x := fields("/proc/uptime"); len(x) > 0 {
		s, _ := strconv.ParseFloat(x[0], 64)
		f.Uptime = time.Duration(s * float64(time.Second))
	}
	f.Load = -1
	if x := fields("/proc/loadavg"); len(x) > 0 {
		f.Load, _ = strconv.ParseFloat(x[0], 64)
	}
	data, _ := os.ReadFile("/proc/meminfo")
	memory := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		if x := strings.Fields(line); len(x) >= 2 {
			kib, _ := strconv.ParseUint(x[1], 10, 64)
			memory[strings.TrimSuffix(x[0], ":")] = kib << 10
		}
	}
	if all, free := memory["MemTotal"], memory["MemAvailable"]; free <= all {
		f.Memory, f.MemoryAll = all-free, all
	}
	var disk unix.Statfs_t
	if unix.Statfs(a.path(StateDir), &disk) == nil {
		block := uint64(disk.Bsize)
		f.DiskAll, f.Disk = disk.Blocks*block, (disk.Blocks-disk.Bfree)*block
	}
	// Boards have a device tree, others DMI.
	for _, path := range []string{"/proc/device-tree/model", "/sys/class/dmi/id/product_name"} {
		if data, err := os.ReadFile(path); err == nil {
			f.Model = strings.Trim(string(data), "\x00 \n")
			break
		}
	}
}
