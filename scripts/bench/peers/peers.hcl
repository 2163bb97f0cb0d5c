# The root that other builders run in.
image "peers" {
  architectures = ["amd64"]
  packages = [
    "apt", "bubblewrap", "bzip2", "ca-certificates", "cpio", "curl", "debian-archive-keyring", "debootstrap", "debos",
    "dosfstools", "e2fsprogs", "fdisk", "gdisk", "gpg", "gpgv", "grub-common", "grub-efi-amd64-bin", "grub-pc-bin",
    "grub2-common", "kmod", "mkosi", "mmdebstrap", "mount", "mtools", "parted", "python3", "systemd", "systemd-container",
    "systemd-repart", "udev", "uidmap", "util-linux", "xz-utils", "zstd",
  ]

  target "tar" {
    compress = "none"
  }
}
