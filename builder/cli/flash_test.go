package cli

import (
	"bytes"
	"strings"
	"testing"

	"cloudy/builder/flash"
)

// TestDevicesTable: why a device is refused does not tear the columns apart.
func TestDevicesTable(t *testing.T) {
	var out bytes.Buffer
	printDevices(&out, []flash.Device{
		{Path: "/dev/sda", Size: 512e9, Sector: 512, Transport: "sata", Model: "Disk"},
		{Path: "/dev/mmcblk0", Size: 8e9, Sector: 512, Transport: "mmc", Partitions: 2, Removable: true},
	}, false)
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 5 || !strings.Contains(lines[3], "refused: /dev/sda (Disk) is not a removable device") {
		t.Fatalf("%s", out.String())
	}
	for _, heading := range []string{"SIZE", "BUS", "PARTITIONS", "MODEL"} {
		at := strings.Index(lines[0], heading)
		for _, line := range lines[1:3] {
			if line[at-1] != ' ' || line[at] == ' ' {
				t.Errorf("%s: %q", heading, line)
			}
		}
	}
}
