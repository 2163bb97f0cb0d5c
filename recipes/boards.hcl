# A node on a single-board computer. Boards are described in boards/*.hcl;
# a recipe adds its own in the same way.

variable "board" {
  type        = string
  default     = "raspberry-pi"
  description = "The single-board computer that the image board is for: raspberry-pi, rock64, pine64, beaglebone, …"
}

image "board" {
  description   = "A node on a single-board computer, as an SD card."
  from          = image.node
  architectures = ["arm64", "armhf"]

  # The board brings its own kernel and what starts it.
  packages = concat(
    arch == "arm64" ? ["-linux-image-cloud-arm64", "-grub-efi-arm64-signed", "-shim-signed"] : [],
    ["wireless-regdb", "iw", "wpasupplicant"],
  )

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

  target "sdcard" {
    board   = var.board
    formats = var.board == "virt" ? ["raw"] : ["raw.zst"]
  }
}
