package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed all:peers
var peerFiles embed.FS

// allPeers are those a node is compared with.
func allPeers() []string { return []string{"mmdebstrap", "debos", "mkosi"} }

// archives is what everybody builds from. One suite and one component, because
// debootstrap (in debos) reads no more.
const archives = "archive \"debian\" {\n  suites     = [\"trixie\"]\n  components = [\"main\"]\n}\n"

// writeRecipe writes Cloudy's own recipe out, with the one suite in it.
func (b *bench) writeRecipe() error {
	dir := filepath.Join(b.work, "recipe")
	b.clear("recipe")
	if _, err := output("-", "-", []string{b.o.cloudy, "init", dir}, cleanEnv()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "archives.hcl"), []byte(archives), 0o644)
}

// makePeers builds the root that the peers run in, unless it is there.
func (b *bench) makePeers() error {
	recipe, err := peerFiles.ReadFile("peers/peers.hcl")
	if err != nil {
		return err
	}
	stamp := filepath.Join(b.o.cache, "peers.hcl")
	if old, err := os.ReadFile(stamp); err == nil && string(old) == string(recipe) {
		return nil
	}
	logf("building the peers' root")
	dir := filepath.Join(b.work, "peers-recipe")
	if err := errors.Join(
		os.RemoveAll(b.peers), os.MkdirAll(b.peers, 0o755), os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "archives.hcl"), []byte(archives), 0o644),
		os.WriteFile(filepath.Join(dir, "peers.hcl"), recipe, 0o644),
	); err != nil {
		return err
	}
	out := filepath.Join(b.work, "peers-out")
	if _, err := output("-", "-", []string{
		b.o.cloudy, "build", "peers:tar", "--recipe", dir, "--out", out, "--mirror", b.mirror.URL, "--progress", "plain",
	}, cleanEnv("CLOUDY_CACHE="+filepath.Join(b.work, "store"))); err != nil {
		return err
	}
	tars, err := filepath.Glob(filepath.Join(out, "*.tar"))
	if err != nil || len(tars) != 1 {
		return fmt.Errorf("no tarball in %s: %v", out, err)
	}
	if _, err := output("-", "-", []string{"tar", "--numeric-owner", "-xpf", tars[0], "-C", b.peers}, cleanEnv()); err != nil {
		return err
	}
	b.clear("store", "peers-out")
	// An image has neither; debos copies the first and systemd-nspawn, which
	// it runs, wants the second. Nobody needs names here.
	if err := errors.Join(
		os.WriteFile(filepath.Join(b.peers, "etc/resolv.conf"), nil, 0o644),
		os.WriteFile(filepath.Join(b.peers, "etc/machine-id"), []byte(strings.Repeat("0123456789abcdef", 2)+"\n"), 0o444),
	); err != nil {
		return err
	}
	return os.WriteFile(stamp, recipe, 0o644)
}

// writePeerRecipes writes what the peers build from, below peers/.
func (b *bench) writePeerRecipes() error {
	fill := strings.NewReplacer("@MIRROR@", b.mirror.URL, "@DIR@", inside, "@PACKAGES@", strings.Join(nodePackages(), " "),
		"@COMMAS@", strings.Join(nodePackages(), ", "), "@LINES@", strings.Join(nodePackages(), "\n    "))
	err := fs.WalkDir(peerFiles, "peers", func(name string, d fs.DirEntry, err error) error {
		at := filepath.Join(b.work, name)
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(at, 0o755))
		}
		data, err := peerFiles.ReadFile(name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(string(data), "#!") {
			mode = 0o755
		}
		return os.WriteFile(at, []byte(fill.Replace(string(data))), mode)
	})
	if err != nil {
		return err
	}
	overlay := filepath.Join(b.work, "peers", "overlay")
	if _, err := output("-", "-", []string{"cp", "-r", filepath.Join(b.work, "recipe/overlays/bench"), overlay}, cleanEnv()); err != nil {
		return err
	}
	return errors.Join(
		os.Chmod(filepath.Join(overlay, "etc/sudoers.d/node"), 0o440),
		os.Chmod(filepath.Join(overlay, "etc/tinc/cloudy/tinc-up"), 0o755),
		os.Chmod(filepath.Join(overlay, "usr/local/bin/cloudy"), 0o755),
	)
}

// nodePackages are those of the image "bench" in the built-in recipe.
func nodePackages() []string {
	return strings.Fields(`systemd systemd-sysv udev dbus linux-image-cloud-amd64 initramfs-tools grub-pc-bin grub-efi-amd64-bin
		ifupdown isc-dhcp-client openssh-server ca-certificates curl sudo tinc avahi-daemon avahi-utils libnss-mdns
		etcd-server etcd-client syncthing squid bind9 snmpd`)
}

// minbase is mmdebstrap making a tarball.
func (b *bench) minbase() command {
	b.clear("peer")
	return b.inPeers("sh", "-c", "mkdir -p "+inside+"/peer && exec mmdebstrap --mode=root --variant=minbase trixie "+inside+"/peer/minbase.tar "+b.mirror.URL)
}

func (b *bench) nodeBy(peer string) command {
	b.clear("peer")
	return b.inPeers("sh", "-c", "mkdir -p "+inside+"/peer && exec "+inside+"/peers/"+peer+".sh")
}

func (b *bench) inPeers(argv ...string) command {
	return command{root: b.peers, argv: argv, env: cleanEnv("TMPDIR=" + inside + "/peer")}
}
