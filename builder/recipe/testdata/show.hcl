image "node" {
  architectures = ["amd64"]
  packages = [
    "tinc",
    "aa",
    "bb",
    "cc",
    "dd",
    "-nano",
  ]
  recommends = false
  archives   = [archive.debian]
  grow       = "16GiB"

  file "/etc/motd" {
    content = "Port 22\n$${x}\n"
    mode    = 600
  }

  file "/etc/secret" {
    content = "(sensitive)"
  }

  user "root" {
    ssh_authorized_keys = ["(sensitive)"]
  }

  run "x" {
    command = ["a"]
    env = {
      TOKEN = "(sensitive)"
      "a.b" = "c"
    }
  }

  target "vm" {
    formats   = ["raw"]
    disk_size = "8GiB"
  }

  mesh {
    network    = "guifi"
    invitation = "(sensitive)"
  }
}
