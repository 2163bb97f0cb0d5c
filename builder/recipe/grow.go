package recipe

import "fmt"

// Grow says how far the root filesystem grows at first boot.
type Grow struct {
	Enabled bool
	Limit   int64 // bytes; 0 for the whole disk
}

// RepartPath is where RepartConf belongs in the image.
const RepartPath = "/etc/repart.d/50-root.conf"

// RepartConf returns the file that makes systemd-repart(8) grow the root
// partition, or an empty string when it must not grow. The filesystem follows
// by x-systemd.growfs in /etc/fstab, which is the target's to write. Needs
// the package systemd-repart and a root partition of the architecture's root
// type (Discoverable Partitions Specification).
func (g Grow) RepartConf() string {
	if !g.Enabled {
		return ""
	}
	conf := "# The root partition takes the free space after it.\n[Partition]\nType=root\n"
	if g.Limit > 0 {
		conf += fmt.Sprintf("SizeMaxBytes=%d\n", g.Limit)
	}
	return conf
}
