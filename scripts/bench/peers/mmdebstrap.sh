#!/bin/sh
# The node by mmdebstrap and a script that makes the disk.
set -e
packages=$(echo @PACKAGES@ | tr ' ' ,)
mmdebstrap --mode=root --variant=minbase --include="$packages" \
	--customize-hook='@DIR@/peers/customize.sh "$1"' trixie @DIR@/peer/root @MIRROR@
exec @DIR@/peers/disk.py @DIR@/peer/root @DIR@/peer/disk.img
