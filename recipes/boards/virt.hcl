# No board at all: QEMU's machine "virt" with U-Boot, to try a card out:
#   cloudy check board:sdcard --var board=virt --arch arm64

board "virt" {
  description   = "QEMU's virtual machine with U-Boot"
  architectures = ["arm64"]
  packages      = ["linux-image-arm64", "u-boot-menu", "fdisk"]
  consoles      = ["ttyAMA0,115200"]
  extlinux      = true

  # What u-boot-menu writes into extlinux.conf after a kernel's upgrade.
  file "/etc/default/u-boot" {
    content = "U_BOOT_ROOT=\"root=${boot.root}\"\nU_BOOT_PARAMETERS=\"ro ${boot.console} ${boot.extra}\"\n"
  }
}
