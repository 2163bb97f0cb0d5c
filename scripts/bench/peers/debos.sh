#!/bin/sh
# The node by debos. A loop device that it leaves behind is given back.
set -e
mkdir -p /dev/disk # debos looks into it
cd @DIR@/peer
status=0
PATH=@DIR@/peers/bin:$PATH debos --disable-fakemachine --artifactdir=@DIR@/peer @DIR@/peers/debos.yaml || status=$?
# The kernel names the file by its place in the tmpfs.
losetup -n -l -O NAME,BACK-FILE | awk '$2 ~ "/peer/disk.img$" { print $1 }' | xargs -r -n1 losetup -d
rmdir --ignore-fail-on-non-empty /dev/disk
exit $status
