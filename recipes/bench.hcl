# What `make bench` builds to compare Cloudy with other builders: the same
# packages and files that its peers' recipes have.

image "minbase" {
  description   = "Debian's minbase and nothing else."
  architectures = ["amd64", "arm64", "armhf", "i386", "riscv64"]
  grow          = false

  target "tar" {
    compress = "none"
  }
}

image "bench" {
  description   = "The node that builders are measured by."
  architectures = ["amd64"]
  overlay       = ["bench"]
  hostname      = "cloudy-node"

  packages = [
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "ifupdown",
    "isc-dhcp-client",
    "openssh-server",
    "ca-certificates",
    "curl",
    "sudo",
    "tinc",
    "avahi-daemon",
    "avahi-utils",
    "libnss-mdns",
    "etcd-server",
    "etcd-client",
    "syncthing",
    "squid",
    "bind9",
    "snmpd",
  ]

  user "root" {
    no_password = true
  }

  target "vm" {
    formats = ["raw"]
    boot    = ["bios"]
  }
}

overlay "bench" {
  rule "etc/sudoers.d/*" {
    mode = "0440"
  }
}
