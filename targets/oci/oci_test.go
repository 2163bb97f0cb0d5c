package oci

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"cloudy/builder/tree"
	"cloudy/targets/internal/targettest"
)

// status is dpkg's database of debian.
const status = `Package: base-files
Essential: yes
Status: install ok installed
Priority: required
Architecture: amd64
Version: 13
Pre-Depends: awk

Package: mawk
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1
Provides: awk
Depends: libc6 (>= 2)

Package: libc6
Status: install ok installed
Priority: optional
Multi-Arch: same
Architecture: amd64
Version: 2

Package: ssh
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1
Depends: libshared | none, libc6

Package: libshared
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1

Package: squid
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1
Depends: libsquid, libshared

Package: libsquid
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1

`

// debian is a root with packages of all layers. Its times are those that
// packages have, but for two files that something touched.
func debian() *tree.Tree {
	const info = "var/lib/dpkg/info/"
	t := targettest.Debian(map[string]string{
		"var/lib/dpkg/status":    status,
		info + "base-files.list": "/.\n/etc\n/etc/debian_version\n/usr\n/usr/lib\n/usr/lib/os-release\n/bin/dash\n", info + "mawk.list": "/usr/bin/mawk\n",
		info + "libc6:amd64.list": "/usr/lib/libc.so.6\n/lib/libm.so\n", info + "ssh.list": "/etc/ssh\n/etc/ssh/sshd_config\n/usr/bin/ssh\n/usr/bin/sshlogin\n",
		info + "libshared.list": "/usr/lib/libshared.so\n", info + "squid.list": "/etc/squid\n/etc/squid/squid.conf\n/usr/sbin/squid\n", info + "libsquid.list": "/usr/lib/libsquid.so\n",
		"lib": "-> usr/lib", "usr/bin/mawk": "m", "usr/lib/libc.so.6": "c", "usr/lib/libm.so": "m", "etc/ssh/sshd_config": "changed", "usr/bin/ssh": "s", "usr/bin/sshlogin": "=> usr/bin/ssh",
		"usr/lib/libshared.so": "l", "etc/squid/squid.conf": "q", "usr/sbin/squid": "q", "usr/lib/libsquid.so": "q", "etc/unowned": "u",
	})
	t.Find("etc/ssh/sshd_config").MTime = targettest.Epoch
	t.Find("etc/ssh").MTime = targettest.Epoch
	return t
}

var parts = Options{Packages: []string{"ssh"}, ServicePackages: []string{"squid"}}

func TestSplit(t *testing.T) {
	out, err := split(debian(), targettest.Epoch, &parts)
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]string{}
	n := 0
	for l, part := range out {
		for _, e := range part.Entries {
			in[e.Path] = layerNames[l]
			n++
			if e.Path == "etc/ssh" && !e.MTime.Before(targettest.Epoch) {
				t.Error("the time of the build in a lower layer")
			}
		}
	}
	if n != len(debian().Entries) {
		t.Errorf("%d entries in layers, %d in the root", n, len(debian().Entries))
	}
	for p, want := range map[string]string{
		".": "base", "etc": "base", "usr/lib/os-release": "base", "usr/bin/dash": "base", "usr/bin/mawk": "base", "usr/lib/libc.so.6": "base", "usr/lib/libm.so": "base",
		"etc/ssh": "packages", "usr/bin/ssh": "packages", "usr/bin/sshlogin": "packages", "usr/lib/libshared.so": "packages",
		"etc/squid": "services", "etc/squid/squid.conf": "services", "usr/lib/libsquid.so": "services", "usr/sbin": "services",
		"etc/ssh/sshd_config": "overlay", "etc/unowned": "overlay", "var/lib/dpkg/status": "overlay", "var": "overlay",
	} {
		if in[p] != want {
			t.Errorf("%s is in %s, want %s", p, in[p], want)
		}
	}
}

// TestLowerLayersStay builds at a later time with another overlay: only the
// uppermost layer may be another one.
func TestLowerLayersStay(t *testing.T) {
	digests := func(root *tree.Tree, later time.Duration) []v1.Hash {
		r := targettest.Request(t, root, parts)
		r.Epoch = r.Epoch.Add(later)
		for i := range root.Entries {
			if e := &root.Entries[i]; e.MTime.Equal(targettest.Epoch) {
				e.MTime = r.Epoch
			}
		}
		list, err := Target{}.Build(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var out []v1.Hash
		for _, l := range manifest(t, unpack(t, list[0].Path)).Layers {
			out = append(out, l.Digest)
		}
		return out
	}
	a := digests(debian(), 0)
	changed := debian()
	changed.Find("etc/unowned").Data = []byte("U")
	b := digests(changed, 24*time.Hour)
	if len(a) != 4 || !slices.Equal(a[:3], b[:3]) || a[3] == b[3] {
		t.Errorf("layers %v, a day later %v", a, b)
	}
}

func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	targettest.Run(t, "tar", "-C", dir, "-xf", archive)
	return dir
}

func read(t *testing.T, file string, v any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func manifest(t *testing.T, layout string) v1.Manifest {
	t.Helper()
	var index v1.IndexManifest
	var m v1.Manifest
	read(t, filepath.Join(layout, "index.json"), &index)
	read(t, filepath.Join(layout, blobPath(index.Manifests[0].Digest)), &m)
	return m
}

func TestConfig(t *testing.T) {
	layout := unpack(t, targettest.Build(t, Target{}, debian(), parts)["node-amd64-x.tar"])
	var c v1.ConfigFile
	read(t, filepath.Join(layout, blobPath(manifest(t, layout).Config.Digest)), &c)
	if !slices.Equal(c.Config.Cmd, []string{"/sbin/init"}) || c.Config.StopSignal != "SIGRTMIN+3" || !slices.Contains(c.Config.Env, "container=docker") {
		t.Errorf("systemd is not started: %+v", c.Config)
	}
	o := parts
	o.Entrypoint, o.Command, o.User, o.WorkDir, o.Ports = []string{"/usr/sbin/squid"}, []string{"-N"}, "proxy", "/srv", []string{"3128", "53/udp"}
	o.Env, o.Labels = map[string]string{"PATH": "/bin", "A": "b"}, map[string]string{"org.opencontainers.image.title": "mine"}
	layout = unpack(t, targettest.Build(t, Target{}, debian(), o)["node-amd64-x.tar"])
	c = v1.ConfigFile{}
	read(t, filepath.Join(layout, blobPath(manifest(t, layout).Config.Digest)), &c)
	g := c.Config
	if !slices.Equal(g.Env, []string{"A=b", "PATH=/bin"}) || g.User != "proxy" || g.WorkingDir != "/srv" || g.StopSignal != "" || len(g.ExposedPorts) != 2 || g.Labels["org.opencontainers.image.title"] != "mine" {
		t.Errorf("%+v", g)
	}
	if _, ok := g.ExposedPorts["3128/tcp"]; !ok {
		t.Errorf("ports %v", g.ExposedPorts)
	}
}

// TestSkopeo lets skopeo read the image as a layout and as Docker's archive.
func TestSkopeo(t *testing.T) {
	targettest.Need(t, "skopeo", "skopeo")
	for _, compress := range []string{"gzip", "zstd"} {
		o := parts
		o.Compress, o.Repository, o.Tags = compress, "registry.example.org/cloudy/node", []string{"13", "latest"}
		archive := targettest.Build(t, Target{}, debian(), o)["node-amd64-x.tar"]
		layout := unpack(t, archive)
		for _, from := range []string{"oci:" + layout + ":13", "oci:" + layout + ":latest", "oci-archive:" + archive + ":13", "docker-archive:" + archive + ":registry.example.org/cloudy/node:13"} {
			if compress == "zstd" && strings.HasPrefix(from, "docker") {
				continue // Docker's archive knows gzip alone
			}
			if text := targettest.Run(t, "skopeo", "inspect", from); !strings.Contains(text, `"Architecture": "amd64"`) {
				t.Errorf("%s: %s", from, text)
			}
			// The copy reads every blob and checks its digest.
			targettest.Run(t, "skopeo", "--insecure-policy", "copy", from, "dir:"+t.TempDir())
		}
	}
}

// TestUmoci unpacks the layers one over the other, and compares with the root.
func TestUmoci(t *testing.T) {
	targettest.Need(t, "umoci", "umoci")
	if os.Geteuid() != 0 {
		targettest.Missing(t, "only root unpacks owners")
	}
	layout := unpack(t, targettest.Build(t, Target{}, debian(), parts)["node-amd64-x.tar"])
	bundle := filepath.Join(t.TempDir(), "bundle")
	targettest.Run(t, "umoci", "unpack", "--image", layout+":latest", bundle)
	got, err := tree.Scan(filepath.Join(bundle, "rootfs"))
	if err != nil {
		t.Fatal(err)
	}
	r := targettest.Request(t, debian(), parts)
	want := root(&r)
	if len(got.Entries) != len(want.Entries) {
		t.Errorf("%d entries, want %d", len(got.Entries), len(want.Entries))
	}
	for i := range want.Entries {
		w := &want.Entries[i]
		g := got.Find(w.Path)
		if g == nil || g.Type != w.Type || g.Mode != w.Mode || g.UID != w.UID || g.Link != w.Link || g.Size != w.Size {
			t.Errorf("%+v came back as %+v", w, g)
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, o := range map[string]Options{
		"not a tag": {Tags: []string{"a:b"}}, "not a repository": {Repository: "Registry/UPPER"}, "not a port": {Ports: []string{"http"}}, "compression": {Compress: "xz"},
	} {
		targettest.Refused(t, Target{}, debian(), o, text)
	}
	if err := (Target{}).Validate("sparc", nil); err == nil {
		t.Error("an unknown architecture was taken")
	}
	broken := targettest.Debian(map[string]string{"var/lib/dpkg/status": "no field\n"})
	if _, err := (Target{}).Build(t.Context(), targettest.Request(t, broken, nil)); err == nil {
		t.Error("a broken database was taken")
	}
	targettest.Cancelled(t, Target{}, debian(), parts)
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, debian(), nil)
}
