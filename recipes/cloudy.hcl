# The images of Cloudy. `cloudy init` writes them to a folder to be changed.

variable "hostname" {
  type        = string
  default     = "cloudy"
  description = "Host name of a fresh node."
}

variable "ssh_authorized_keys" {
  type        = list(string)
  default     = []
  description = "SSH public keys that may log in as root."
}

variable "root_password_hash" {
  type        = string
  default     = null
  sensitive   = true
  description = "Root's password as made by mkpasswd. Without one root logs in by SSH key alone."
}

variable "firmware" {
  type = list(string)
  default = [
    "firmware-atheros",
    "firmware-bnx2",
    "firmware-bnx2x",
    "firmware-brcm80211",
    "firmware-iwlwifi",
    "firmware-mediatek",
    "firmware-misc-nonfree",
    "firmware-realtek",
  ]
  description = "Firmware that real machines load into their network cards and disks."
}

variable "network" {
  type        = string
  default     = null
  description = "The mesh that the node joins; without a name any mesh that it is invited to."
}

variable "invitation" {
  type        = string
  default     = null
  sensitive   = true
  description = "An invitation for all nodes of the image. Better give each node its own, in cloudy.txt on the boot partition."
}

locals {
  kernel = {
    amd64 = "linux-image-cloud-amd64"
    arm64 = "linux-image-cloud-arm64"
    armhf = "linux-image-armmp" # there is none for the cloud
  }

  kernel_metal = {
    amd64 = "linux-image-amd64"
    arm64 = "linux-image-arm64"
  }

  microcode = {
    amd64 = ["intel-microcode", "amd64-microcode"]
    arm64 = []
  }

  # Boots on BIOS and UEFI, with Secure Boot on or off.
  bootloader = {
    amd64 = ["grub-pc-bin", "grub-efi-amd64-signed", "shim-signed"]
    arm64 = ["grub-efi-arm64-signed", "shim-signed"]
    armhf = [] # U-Boot or the board's own firmware
  }
}

# What every node tells the mesh of itself; the unit is not the agent's to stop.
service "ssh" {
  description = "SSH"
  enabled     = true

  announce {
    type = "_ssh._tcp"
    port = 22
  }

  health {
    tcp = 22
  }
}

image "minimal" {
  description   = "systemd, a network and SSH; for containers, and to build on."
  architectures = ["amd64", "arm64", "armhf", "i386", "riscv64"]
  overlay       = ["common"]
  hostname      = var.hostname
  locale        = "C.UTF-8"
  timezone      = "Etc/UTC"

  packages = [
    "systemd",
    "systemd-sysv",
    "systemd-resolved",
    "systemd-timesyncd",
    "udev",
    "dbus",
    "iproute2",
    "openssh-server",
    "ca-certificates",
  ]

  file "/etc/resolv.conf" {
    link = "../run/systemd/resolve/stub-resolv.conf"
  }

  user "root" {
    password_hash       = var.root_password_hash
    ssh_authorized_keys = var.ssh_authorized_keys
  }

  units {
    enable = [
      "cloudy-ready.service",
      "ssh.service",
      "systemd-networkd.service",
      "systemd-resolved.service",
      "systemd-timesyncd.service",
    ]
    # A node without a network is no reason to wait.
    disable = ["systemd-networkd-wait-online.service"]
    # A node is renewed by a new image, and must not look for news at boot.
    mask = ["apt-daily.timer", "apt-daily-upgrade.timer"]
  }

  target "lxc" {}
  target "oci" {}
}

image "node" {
  description   = "A node of the community cloud, as a machine of its own."
  from          = image.minimal
  architectures = ["amd64", "arm64"]

  packages = concat(
    [local.kernel[arch], "initramfs-tools", "zstd", "e2fsprogs", "systemd-repart"],
    local.bootloader[arch],
    [
      "tinc",
      "avahi-daemon",
      "avahi-utils",
      "libnss-mdns",
      "sudo",
      "curl",
      "ethtool",
      "iputils-ping",
      "less",
      "nano",
    ],
  )

  services = [service.ssh]

  # The node's agent: keys and names at first boot, then the mesh. It also
  # keeps services off that Debian starts before anybody has configured them.
  mesh {
    network    = var.network
    invitation = var.invitation
  }

  units {
    enable = ["avahi-daemon.service"]
    # The agent makes the host keys; an RSA key of sshd's own takes minutes on
    # a small board.
    mask = ["sshd-keygen.service"]
  }

  target "vm" {
    formats = ["raw", "qcow2"]
    boot    = ["bios", "uefi"]
  }
}

image "metal" {
  description = "A node on a real machine: drivers and firmware for most of what there is."
  from        = image.node

  packages = concat(
    ["-${local.kernel[arch]}", local.kernel_metal[arch]],
    local.microcode[arch],
    var.firmware,
    ["pciutils", "usbutils", "wireless-regdb", "iw", "wpasupplicant"],
  )

  # What a disk or stick is written to is larger than the image.
  grow = true

  # What a node has besides is for machines of other kinds.
  target "lxc" {
    architectures = []
  }

  target "oci" {
    architectures = []
  }

  target "vm" {
    architectures = []
  }

  target "metal" {
    formats = ["raw.zst", "iso"]
  }
}
