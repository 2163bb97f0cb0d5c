// Package rootfs turns .deb files into a configured root filesystem.
//
// Unpacking is ours: every package is decoded at once, on all cores, into a
// flat staging folder, and placed into the root by renames in a fixed order.
// Configuring is dpkg's: the image's own dpkg runs inside the sandbox on a
// database that looks as if dpkg itself had unpacked the packages.
//
// The order of events is what keeps the result equal to the slow way:
// Essential packages are placed and configured first, while the others are
// still being decoded; each other package's preinst runs before its files
// are there; the ids of system users follow the fixed configure order.
package rootfs
