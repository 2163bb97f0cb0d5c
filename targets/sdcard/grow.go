package sdcard

import (
	"fmt"

	"cloudy/builder/fail"
	"cloudy/builder/tree"
)

// systemd-repart grows a GPT's partitions alone. On a card with an MBR this
// unit does it, before systemd grows the filesystem to the partition.
const growUnit = `[Unit]
Description=Grow the root partition to the size of the card
DefaultDependencies=no
After=systemd-udevd.service
Before=systemd-growfs-root.service local-fs.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/cloudy/grow-root

[Install]
WantedBy=local-fs.target
`

// growScript makes partition 2 as long as the card, or as the limit (in
// sectors, 0 for none) says; when it is already it does nothing.
const growScript = `#!/bin/sh
# Grow the root partition of a card with an MBR.
set -eu
limit=%d # sectors
dev=$(findmnt -n -o SOURCE /)
part=$(basename "$(readlink -f "$dev")")
sys=/sys/class/block/$part
number=$(cat "$sys/partition")
disk=$(basename "$(readlink -f "$sys/..")")
start=$(cat "$sys/start")
size=$(cat "$sys/size")
want=$(($(cat "/sys/class/block/$disk/size") - start))
[ "$limit" = 0 ] || [ "$want" -lt "$limit" ] || want=$limit
# Less than 1 MiB is not worth it.
[ "$want" -gt $((size + 2048)) ] || exit 0
echo ",$want" | sfdisk --no-reread --no-tell-kernel --force -N "$number" "/dev/$disk"
partx --update --nr "$number" "/dev/$disk"
`

const (
	growUnitName = "cloudy-grow-root.service"
	growUnitDir  = "usr/lib/systemd/system/"
)

// grow puts the unit into the root.
func (c *card) grow(root *tree.Editor) error {
	for _, program := range []struct{ path, pkg string }{{"usr/sbin/sfdisk", "fdisk"}, {"usr/bin/partx", "util-linux"}} {
		if e, err := c.Root.Lookup(program.path); err != nil {
			return err
		} else if e == nil {
			return fail.WithHint(fail.User, fmt.Errorf("the root has no /%s, which grows the root over the card", program.path),
				fmt.Sprintf("add the package %q to the image, or set grow = false", program.pkg))
		}
	}
	root.Text("usr/lib/cloudy/grow-root", fmt.Sprintf(growScript, c.o.GrowLimit/512), 0o755)
	root.Text(growUnitDir+growUnitName, growUnit, 0o644)
	root.Link(growUnitDir+"local-fs.target.wants/"+growUnitName, "../"+growUnitName)
	return nil
}
