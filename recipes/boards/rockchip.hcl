# Boards with a Rockchip RK3328 or RK3399. The boot ROM reads the first stage
# in sector 64 (32 KiB); that one loads U-Boot proper from sector 16384 (8 MiB).

board "rock64" {
  description   = "Pine64 Rock64"
  architectures = ["arm64"]
  packages      = ["linux-image-arm64", "u-boot-rockchip", "u-boot-menu"]
  scheme        = "gpt"
  start         = "16MiB"
  consoles      = ["tty0", "ttyS2,1500000"]
  arguments     = ["rootwait"]
  extlinux      = true

  blob "loader" {
    from   = "/usr/lib/u-boot/rock64-rk3328/idbloader.img"
    offset = "32KiB"
  }
  blob "u-boot" {
    from   = "/usr/lib/u-boot/rock64-rk3328/u-boot.itb"
    offset = "8MiB"
  }

  # What u-boot-menu writes into extlinux.conf after a kernel's upgrade.
  file "/etc/default/u-boot" {
    content = "U_BOOT_ROOT=\"root=${boot.root}\"\nU_BOOT_PARAMETERS=\"ro ${boot.console} ${boot.extra}\"\n"
  }
}

board "rock-pi-e" {
  from        = board.rock64
  description = "Radxa ROCK Pi E"

  blob "loader" {
    from = "/usr/lib/u-boot/rock-pi-e-rk3328/idbloader.img"
  }
  blob "u-boot" {
    from = "/usr/lib/u-boot/rock-pi-e-rk3328/u-boot.itb"
  }
}

board "rockpro64" {
  from        = board.rock64
  description = "Pine64 RockPro64"

  blob "loader" {
    from = "/usr/lib/u-boot/rockpro64-rk3399/idbloader.img"
  }
  blob "u-boot" {
    from = "/usr/lib/u-boot/rockpro64-rk3399/u-boot.itb"
  }
}

board "rock-pi-4" {
  from        = board.rock64
  description = "Radxa ROCK Pi 4"

  blob "loader" {
    from = "/usr/lib/u-boot/rock-pi-4-rk3399/idbloader.img"
  }
  blob "u-boot" {
    from = "/usr/lib/u-boot/rock-pi-4-rk3399/u-boot.itb"
  }
}

board "nanopc-t4" {
  from        = board.rock64
  description = "FriendlyElec NanoPC-T4"

  blob "loader" {
    from = "/usr/lib/u-boot/nanopc-t4-rk3399/idbloader.img"
  }
  blob "u-boot" {
    from = "/usr/lib/u-boot/nanopc-t4-rk3399/u-boot.itb"
  }
}

board "nanopi-neo4" {
  from        = board.rock64
  description = "FriendlyARM NanoPi NEO4"

  blob "loader" {
    from = "/usr/lib/u-boot/nanopi-neo4-rk3399/idbloader.img"
  }
  blob "u-boot" {
    from = "/usr/lib/u-boot/nanopi-neo4-rk3399/u-boot.itb"
  }
}
