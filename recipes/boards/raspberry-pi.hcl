# Raspberry Pi: 3, 4, 400, Zero 2 W and Compute Modules as arm64; 2 as armhf.
# Zero, Zero W and 1 have an ARMv6, for which Debian has no armhf (it needs
# ARMv7). For the Pi 5 Debian 13's kernel has a device tree, but no driver for
# its RP1 chip: no Ethernet, no USB.
#
# The boot ROM (or the EEPROM from the Pi 4 on) takes the first partition with
# FAT of an MBR; bootcode.bin loads start*.elf, which reads config.txt, and that
# loads kernel, initramfs and device tree.

board "raspberry-pi" {
  description   = "Raspberry Pi 3, 4, 400, Zero 2 W (arm64) and 2 (armhf)"
  architectures = ["arm64", "armhf"]
  packages = [
    arch == "armhf" ? "linux-image-armmp" : "linux-image-arm64",
    "raspi-firmware",
    "firmware-brcm80211",
    "dosfstools",
    "fdisk",
  ]

  # ttyS1 is the header's UART of the 3 and 4, ttyAMA0 that of the 2. On the
  # 3 and 4 ttyAMA0 is Bluetooth's.
  consoles  = ["tty0", arch == "armhf" ? "ttyAMA0,115200" : "ttyS1,115200"]
  arguments = ["rootwait", "fsck.repair=yes", "net.ifnames=0"]

  firmware {
    # Two kernels with their initramfs and the firmware take 230 MiB.
    size = "512MiB"

    copy "firmware" {
      from = ["/usr/lib/raspi-firmware/*"]
    }
    copy "kernel" {
      from = ["/boot/${boot.kernel}", "/boot/${boot.initrd}"]
    }
    copy "device trees" {
      from = [arch == "armhf" ? "/usr/lib/linux-image-${boot.version}/bcm2*.dtb" : "/usr/lib/linux-image-${boot.version}/broadcom/bcm2*.dtb"]
    }
    file "config.txt" {
      content = <<-EOT
        # Written when the card was made. An upgrade of the kernel or the firmware
        # writes it anew; what shall stay goes into /etc/default/raspi-firmware-custom.
        ${arch == "arm64" ? "arm_64bit=1\n" : ""}enable_uart=1
        upstream_kernel=1
        kernel=${boot.kernel}
        initramfs ${boot.initrd}
      EOT
    }
    file "cmdline.txt" {
      content = "${boot.arguments}\n"
    }
  }

  # What raspi-firmware's hook writes into config.txt and cmdline.txt after an upgrade.
  file "/etc/default/raspi-firmware" {
    content = "CMA=0\nROOTPART=\"${boot.root}\"\nCONSOLES=\"${boot.consoles}\"\n"
  }
  file "/etc/default/raspi-extra-cmdline" {
    content = "${boot.extra}\n"
  }
}
