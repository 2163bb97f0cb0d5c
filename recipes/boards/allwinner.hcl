# Boards with an Allwinner chip. The boot ROM reads the first stage at 8 KiB,
# where a GPT would lie; Debian's U-Boot comes as one file with all stages.

board "pine64" {
  description   = "Pine A64 and A64+"
  architectures = ["arm64"]
  packages = [
    arch == "armhf" ? "linux-image-armmp" : "linux-image-arm64",
    "u-boot-sunxi",
    "u-boot-menu",
    "fdisk",
  ]
  consoles  = ["tty0", "ttyS0,115200"]
  arguments = ["rootwait"]
  extlinux  = true

  blob "u-boot" {
    from   = "/usr/lib/u-boot/pine64_plus/u-boot-sunxi-with-spl.bin"
    offset = "8KiB"
  }

  # What u-boot-menu writes into extlinux.conf after a kernel's upgrade.
  file "/etc/default/u-boot" {
    content = "U_BOOT_ROOT=\"root=${boot.root}\"\nU_BOOT_PARAMETERS=\"ro ${boot.console} ${boot.extra}\"\n"
  }
}

board "pine64-lts" {
  from        = board.pine64
  description = "Pine A64-LTS"

  blob "u-boot" {
    from = "/usr/lib/u-boot/pine64-lts/u-boot-sunxi-with-spl.bin"
  }
}

board "sopine" {
  from        = board.pine64
  description = "SOPine with its baseboard"

  blob "u-boot" {
    from = "/usr/lib/u-boot/sopine_baseboard/u-boot-sunxi-with-spl.bin"
  }
}

board "orange-pi-one-plus" {
  from        = board.pine64
  description = "Orange Pi One Plus"

  blob "u-boot" {
    from = "/usr/lib/u-boot/orangepi_one_plus/u-boot-sunxi-with-spl.bin"
  }
}

board "orange-pi-zero-plus2" {
  from        = board.pine64
  description = "Orange Pi Zero Plus2"

  blob "u-boot" {
    from = "/usr/lib/u-boot/orangepi_zero_plus2/u-boot-sunxi-with-spl.bin"
  }
}

board "nanopi-neo2" {
  from        = board.pine64
  description = "NanoPi NEO2"

  blob "u-boot" {
    from = "/usr/lib/u-boot/nanopi_neo2/u-boot-sunxi-with-spl.bin"
  }
}

board "orange-pi-zero" {
  from          = board.pine64
  description   = "Orange Pi Zero"
  architectures = ["armhf"]

  blob "u-boot" {
    from = "/usr/lib/u-boot/orangepi_zero/u-boot-sunxi-with-spl.bin"
  }
}

board "orange-pi-plus" {
  from          = board.pine64
  description   = "Orange Pi Plus and Plus 2"
  architectures = ["armhf"]

  blob "u-boot" {
    from = "/usr/lib/u-boot/orangepi_plus/u-boot-sunxi-with-spl.bin"
  }
}

board "orange-pi-pc-plus" {
  from          = board.pine64
  description   = "Orange Pi PC Plus"
  architectures = ["armhf"]

  blob "u-boot" {
    from = "/usr/lib/u-boot/orangepi_pc_plus/u-boot-sunxi-with-spl.bin"
  }
}

board "banana-pi" {
  from          = board.pine64
  description   = "Banana Pi"
  architectures = ["armhf"]

  blob "u-boot" {
    from = "/usr/lib/u-boot/Bananapi/u-boot-sunxi-with-spl.bin"
  }
}

board "cubietruck" {
  from          = board.pine64
  description   = "Cubietruck"
  architectures = ["armhf"]

  blob "u-boot" {
    from = "/usr/lib/u-boot/Cubietruck/u-boot-sunxi-with-spl.bin"
  }
}

board "olinuxino-lime2" {
  from          = board.pine64
  description   = "Olimex A20-OLinuXino-LIME2"
  architectures = ["armhf"]

  blob "u-boot" {
    from = "/usr/lib/u-boot/A20-OLinuXino-Lime2/u-boot-sunxi-with-spl.bin"
  }
}
