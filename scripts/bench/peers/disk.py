#!/usr/bin/env python3
"""disk.py ROOT DISK: a GPT disk of 4 GiB with a BIOS boot partition and an
ext4 root that mke2fs fills, GRUB's code put in place by hand: no loop device."""
import os
import struct
import subprocess
import sys
import tempfile

root, disk = sys.argv[1:]
UUID = "5d1c6b8e-0c1d-4c1b-9a9e-7f1b5a8a6d01"
START, CORE = 4096, 2048  # sectors


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


with open(disk, "wb") as f:
    f.truncate(4 << 30)
run("sgdisk", "-n", f"1:{CORE}:{START - 1}", "-t", "1:ef02", "-n", f"2:{START}:0", "-t", "2:8300", disk)
table = subprocess.check_output(["sgdisk", "-p", disk], text=True).splitlines()
end = next(int(line.split()[2]) for line in table if line.split()[:1] == ["2"])
blocks = (end + 1 - START) * 512 // 4096
run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-U", UUID, "-L", "root",
    "-E", f"offset={START * 512}", "-d", root, disk, str(blocks))

grub = root + "/usr/lib/grub/i386-pc"
with tempfile.TemporaryDirectory() as tmp:
    with open(tmp + "/cfg", "w") as f:
        f.write(f"search --no-floppy --fs-uuid --set=root {UUID}\nset prefix=($root)/boot/grub\nnormal\n")
    run("grub-mkimage", "-O", "i386-pc", "-d", grub, "-p", "/boot/grub", "-c", tmp + "/cfg", "-o", tmp + "/core",
        "biosdisk", "part_gpt", "ext2", "search", "search_fs_uuid", "normal", "configfile", "linux", "echo")
    core = bytearray(open(tmp + "/core", "rb").read())
boot = bytearray(open(grub + "/boot.img", "rb").read())
core += b"\0" * (-len(core) % 512)
# Where the code looks for its rest: GRUB's include/grub/i386/pc/boot.h.
struct.pack_into("<Q", boot, 0x5C, CORE)
boot[0x66:0x68] = b"\x90\x90"
struct.pack_into("<QHH", core, 0x1F4, CORE + 1, len(core) // 512 - 1, 0x820)
with open(disk, "r+b") as f:
    f.write(boot[:440])
    f.seek(CORE * 512)
    f.write(core)
