package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// incusImages are a machine with Incus on it, and what it is to run.
const incusImages = `
image "incus-host" {
  architectures = ["amd64", "arm64"]
  recommends    = false
  packages      = ["incus-base", "incus-client", "iproute2", "squashfs-tools", "xz-utils", "zstd", "ca-certificates"]
  target "tar" { compress = "none" }
}

image "guest" {
  from = image.minimal
  target "incus" { formats = ["unified", "split", "simplestreams"] }
  target "proxmox" {}
}

image "old" {
  architectures = ["amd64"]
  packages = [
    "sysvinit-core", "sysv-rc", "initscripts", "ifupdown", "net-tools", "iproute2", "procps", "netbase",
    "openssh-server", "systemd-standalone-sysusers", "systemd-standalone-tmpfiles", "-systemd",
  ]
  target "openvz" {}
}
`

// incusHost makes the folder $1 the root of namespaces of its own and goes on
// with the script in there. A chroot would not do: it may have no user
// namespaces.
const incusHost = `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
ip link set lo up
mkdir -p .old
pivot_root . .old
umount -l /.old
exec /bin/bash -eu /root/inside`

// incusInside runs Incus and does with the images what their users do.
const incusInside = `export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
echo root:1000000:1000000000 | tee /etc/subuid > /etc/subgid
echo "127.0.0.1 localhost" > /etc/hosts
cd /root
CLOUDY_INTEGRATION_ROLE=streams ./roles streams /usr/local/share/ca-certificates/test.crt &
web=$!
for i in $(seq 100); do [ ! -e /usr/local/share/ca-certificates/test.crt ] || break; sleep 0.1; done
update-ca-certificates > /dev/null 2>&1
/usr/libexec/incus/incusd --group root > incusd.log 2>&1 &
daemon=$!
trap 'kill $web $daemon 2> /dev/null || true' EXIT
incus admin waitready --timeout 300
printf 'storage_pools:\n- name: default\n  driver: dir\nprofiles:\n- name: default\n  devices:\n    root: {path: /, pool: default, type: disk}\n' | incus admin init --preseed > /dev/null
try() { # image, name
	incus launch -q "$1" "$2" < /dev/null > "$2.log" 2>&1 || { cat "$2.log"; incus info --show-log "$2"; exit 1; }
	state=
	for i in $(seq 300); do
		state=$(incus exec "$2" -- systemctl is-system-running 2> /dev/null < /dev/null || true)
		case $state in running|degraded) break;; esac
		sleep 1
	done
	echo "$2: $state, $(incus exec "$2" -- cat /etc/hostname < /dev/null), failed: $(incus exec "$2" -- systemctl --failed --no-legend --plain < /dev/null | cut -d' ' -f1 | tr '\n' ' ')"
	incus exec "$2" -- sh -c 'cat /run/systemd/network/10-interfaces-eth0.network 2> /dev/null | tr "\n" " " || true' < /dev/null
	incus exec "$2" -- sh -c 'echo "$(hostname) has $(ls /etc/ssh/*.pub | wc -l) keys and the id $(cat /etc/machine-id)"' < /dev/null
	incus delete -f "$2"
}
incus image import -q guest-*-incus.tar.* --alias unified
try unified one
incus image delete unified
incus image import -q guest-*-metadata.tar.xz guest-*-rootfs.squashfs --alias split
try split two
incus image delete split
incus remote add web https://127.0.0.1:9443 --protocol simplestreams
incus image list web: --format csv
try web:guest three

# The templates of others, unpacked as pct and vzctl do, with what these write
# into them; Incus starts them as a container like any.
template() { # archive, name
	mkdir -p "$2/rootfs"
	tar -C "$2/rootfs" --numeric-owner -Spxf "$1"
	printf 'architecture: %s\ncreation_date: 1760000000\n' "$(uname -m)" > "$2/metadata.yaml"
	echo "$2" > "$2/rootfs/etc/hostname"
	printf 'auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.5/24\n\tgateway 192.0.2.1\n' > "$2/rootfs/etc/network/interfaces"
	tar -C "$2" --numeric-owner --xattrs --xattrs-include='*' -cf "$2.tar" .
	incus image import -q "$2.tar" --alias "$2"
}
template guest-*-proxmox.tar.* four
try four four
if [ -e debian-13-*.tar.gz ]; then
	template debian-13-*.tar.gz five
	printf '1:2345:respawn:/sbin/getty 38400 console\n' >> five/rootfs/etc/inittab # set_console.sh
	incus launch -q five five < /dev/null > five.log 2>&1 || { cat five.log; incus info --show-log five; exit 1; }
	for i in $(seq 300); do
		[ "$(incus exec five -- runlevel < /dev/null)" != "N 2" ] || break
		sleep 1
	done
	incus exec five -- sh -c 'echo "$(hostname) is at $(runlevel), has $(ls /etc/ssh/*.pub | wc -l) keys, $(pgrep -c sshd) sshd and is $(readlink -f /sbin/init)"' < /dev/null
	incus delete -f five
fi
`

// TestIncus has Debian's Incus import, launch and enter the images of the
// incus target (one file, two files, and from a web server) and start the
// templates of the targets proxmox and openvz.
func TestIncus(t *testing.T) {
	long(t)
	needRoot(t)
	needTools(t, "unshare", "pivot_root", "tar")
	needArchive(t)
	archiveOnce(t)
	p := newPlace(t)
	p.fill()
	p.ok("init")
	p.write("incus.hcl", incusImages)
	arch := goArch()
	p.ok("build", "--progress=plain", "incus-host:tar", "guest:incus")
	build := []string{"build", "--progress=plain", "guest:proxmox"}
	if arch == "amd64" {
		build = append(build, "old:openvz")
	}
	p.ok(build...)
	// The targets of one root that two builds have made are under one list.
	sums := readFile(t, filepath.Join(p.dir, "out/guest-"+arch+".SHA256SUMS"))
	if !strings.Contains(sums, "-incus.tar.zst\n") || !strings.Contains(sums, "-proxmox.tar.zst\n") {
		t.Errorf("the checksums: %s", sums)
	}
	host := filepath.Join(p.top, "host")
	mkdir(t, host)
	command(t, "tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", filepath.Join(p.dir, "out/incus-host-"+arch+"-tar.tar"), "-C", host)
	images, err := filepath.Glob(filepath.Join(p.dir, "out/guest-*-*.*"))
	old, oerr := filepath.Glob(filepath.Join(p.dir, "out/debian-13-x86_64-old.tar.gz"))
	if images = append(images, old...); err != nil || oerr != nil || len(images) < 5 || arch == "amd64" && len(old) != 1 {
		t.Fatalf("images: %v, %v, %v", images, err, oerr)
	}
	for _, f := range images {
		if strings.HasSuffix(f, "-simplestreams.tar") {
			mkdir(t, filepath.Join(host, "root/streams"))
			command(t, "tar", "-xf", f, "-C", filepath.Join(host, "root/streams"))
			continue
		}
		if err := os.Link(f, filepath.Join(host, "root", filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command(t, "cp", self, filepath.Join(host, "root/roles"))
	writeFile(t, filepath.Join(host, "root/inside"), incusInside)

	// When the first process of the namespaces ends all others end with it.
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "sh", "-c", incusHost, "sh", host)
	out, err := c.CombinedOutput()
	text := string(out)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(host, "root/incusd.log"))
		t.Fatalf("%v\n%s\n--- incusd\n%s", err, text, log)
	}
	if want := "[Match] Name=eth0  [Link] RequiredForOnline=no  [Network] Address=192.0.2.5/24 Gateway=192.0.2.1"; !strings.Contains(text, want) {
		t.Errorf("the address that Proxmox VE writes does not arrive: %s", text)
	}
	if want := "five is at N 2, has 3 keys, 1 sshd and is /usr/sbin/init"; arch == "amd64" && !strings.Contains(text, want) {
		t.Errorf("the template for OpenVZ is not up: %s", text)
	}
	for _, name := range []string{"one", "two", "three", "four"} {
		if !strings.Contains(text, name+": running, "+name+", failed: \n") || !strings.Contains(text, name+" has 3 keys and the id ") {
			t.Errorf("%s is not as it should be: %s", name, text)
		}
	}
}

// goArch is Debian's name of the architecture that this runs on.
func goArch() string {
	out, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil {
		return "amd64"
	}
	return strings.TrimSpace(string(out))
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// playStreams serves a folder by HTTPS on port 9443 of the loopback, with a
// certificate of its own, which it writes to a file.
func playStreams(dir, cert string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	s := &http.Server{
		Addr: "127.0.0.1:9443", Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return err
	}
	if err := os.WriteFile(cert+".new", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return err
	}
	if err := os.Rename(cert+".new", cert); err != nil {
		return err
	}
	return s.ServeTLS(l, "", "")
}
