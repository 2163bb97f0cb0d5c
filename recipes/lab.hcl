# What the nodes of a lab are (cloudy lab): everything of a node but a
# kernel, and a small web server as a service to find.

image "lab" {
  description = "A node of a lab on one machine: systemd, tinc, Avahi, no kernel."
  from        = image.minimal

  packages = [
    "tinc",
    "avahi-daemon",
    "avahi-utils",
    "busybox",
    "iputils-ping",
  ]

  mesh {}

  file "/usr/lib/systemd/system/lab-web.service" {
    content = <<-EOT
      [Unit]
      Description=A page that says whose it is

      [Service]
      ExecStartPre=/bin/sh -c 'echo "This is $(hostname)." > /run/lab-web/index.html'
      ExecStart=/usr/bin/busybox httpd -f -p 80 -h /run/lab-web
      RuntimeDirectory=lab-web
    EOT
  }

  units {
    enable = ["avahi-daemon.service"]
    # The agent turns it on.
    disable = ["lab-web.service"]
    # Started many times on one machine, and looked into from outside.
    mask = ["cloudy-ready.service", "ssh.service", "systemd-resolved.service", "systemd-timesyncd.service"]
  }
}
