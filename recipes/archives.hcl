# Where packages come from. The mirror is chosen on the building machine:
# --mirror, CLOUDY_MIRROR, its own apt sources, or an official one.

archive "debian" {
  suites     = ["trixie", "trixie-updates"]
  components = ["main", "non-free-firmware"]
}

archive "debian-security" {
  suites     = ["trixie-security"]
  components = ["main", "non-free-firmware"]
}
