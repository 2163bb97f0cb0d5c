# BeagleBone, BeagleBone Black and Green, PocketBeagle. The boot ROM of the
# AM335x looks for MLO at 0, 128, 256 and 384 KiB; MLO loads u-boot.img from
# 384 KiB. The two reach beyond 1 MiB.

board "beaglebone" {
  description   = "BeagleBone, BeagleBone Black and Green, PocketBeagle"
  architectures = ["armhf"]
  packages      = ["linux-image-armmp", "u-boot-omap", "u-boot-menu", "fdisk"]
  consoles      = ["tty0", "ttyS0,115200"]
  arguments     = ["rootwait"]
  extlinux      = true

  blob "MLO" {
    from   = "/usr/lib/u-boot/am335x_evm/MLO"
    offset = "128KiB"
  }
  blob "u-boot" {
    from   = "/usr/lib/u-boot/am335x_evm/u-boot.img"
    offset = "384KiB"
  }

  # What u-boot-menu writes into extlinux.conf after a kernel's upgrade.
  file "/etc/default/u-boot" {
    content = "U_BOOT_ROOT=\"root=${boot.root}\"\nU_BOOT_PARAMETERS=\"ro ${boot.console} ${boot.extra}\"\n"
  }
}
