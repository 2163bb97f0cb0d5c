# The test bed of the Clommunity project: 43 nodes at eight sites. Start it
# with `cloudy lab up testbed`.

lab "testbed" {
  description = "43 nodes in Barcelona, Tarragona, Stockholm, Trieste and the community networks around."
  network     = "clommunity"
  founder     = "upc-north-1"
}

locals {
  # Within a city, over fibre; between the two cities of Catalonia; and across Europe.
  city   = "1ms"
  region = "3ms"
}

service "web" {
  description = "Page"
  type        = "_http._tcp"
  port        = 80
  txt         = { path = "/" }
  units       = ["lab-web.service"]
}

site "upc-north" {
  title    = "UPC Campus Nord, Barcelona"
  nodes    = 10
  services = [service.web]
}

site "upc-south" {
  title    = "UPC Campus Sud, Barcelona"
  nodes    = 10
  services = [service.web]
}

site "tarragona" {
  title    = "TAR, Tarragona"
  nodes    = 10
  services = [service.web]
}

site "stockholm" {
  title    = "KTH, Stockholm"
  nodes    = 4
  services = [service.web]
}

site "trieste" {
  title    = "ICTP, Trieste"
  nodes    = 2
  services = [service.web]
}

# Behind radio links of guifi.net.
site "community" {
  title    = "Community-Lab"
  nodes    = 4
  services = [service.web]
  delay    = "3ms"
  loss     = "0.5%"
  rate     = "20mbit"
}

# Boards as small as Intel's Galileo: 256 MB.
site "galileo" {
  title    = "Galileo boards, Barcelona"
  nodes    = 3
  services = [service.web]
  memory   = "256MiB"
  rate     = "10mbit"
}

# Where the networks meet; no nodes.
site "catnix" {
  title = "CATNIX, Barcelona"
  nodes = 0
}

link "campus-north" {
  between = ["upc-north", "catnix"]
  delay   = local.city
  rate    = "1gbit"
}

link "campus-south" {
  between = ["upc-south", "catnix"]
  delay   = local.city
  rate    = "1gbit"
}

link "ap-7" {
  between = ["tarragona", "catnix"]
  delay   = local.region
  rate    = "100mbit"
}

link "radio" {
  between = ["community", "catnix"]
  delay   = "5ms"
  loss    = "0.5%"
  rate    = "20mbit"
}

link "bench" {
  between = ["galileo", "upc-north"]
  delay   = local.city
  rate    = "100mbit"
}

link "north-europe" {
  between = ["stockholm", "catnix"]
  delay   = "25ms"
  loss    = "0.1%"
  rate    = "100mbit"
}

link "italy" {
  between = ["trieste", "catnix"]
  delay   = "16ms"
  loss    = "0.1%"
  rate    = "50mbit"
}

link "alps" {
  between = ["trieste", "stockholm"]
  delay   = "22ms"
  rate    = "50mbit"
}
