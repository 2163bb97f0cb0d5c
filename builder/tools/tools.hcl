# The tools root: what the builder needs beyond its own code, out of the same
# archives as the images. Each image here is one set of tools.

variable "suite" {
  type        = string
  default     = "trixie"
  description = "Debian release that the tools come from."
}

archive "debian" {
  suites     = [var.suite, "${var.suite}-updates"]
  components = ["main"]
}

archive "debian-security" {
  suites     = ["${var.suite}-security"]
  components = ["main"]
}

locals {
  hosts = ["amd64", "arm64", "i386", "armhf"]
}

image "tools" {
  architectures = local.hosts
  variant       = "essential"
  exclude       = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*"]
}

# Virtual machines that boot images of amd64 or i386, and those of arm64.
image "tools-qemu-x86" {
  from          = image.tools
  architectures = local.hosts
  packages      = ["qemu-system-x86", "seabios", "ovmf"]
}

image "tools-qemu-arm" {
  from          = image.tools
  architectures = local.hosts
  packages      = ["qemu-system-arm", "qemu-efi-aarch64", "u-boot-qemu"]
}

# Filesystems and disks that the builder does not write itself.
image "tools-disk" {
  from          = image.tools
  architectures = local.hosts
  packages      = ["squashfs-tools", "xorriso", "e2fsprogs", "mtools", "dosfstools"]
}

# Running programs of other architectures.
image "tools-user" {
  from          = image.tools
  architectures = local.hosts
  packages      = ["qemu-user"]
}
