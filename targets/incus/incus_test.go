package incus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloudy/targets/internal/targettest"
)

func TestUnified(t *testing.T) {
	targettest.Need(t, "zstd", "zstd")
	root := targettest.Debian(map[string]string{"usr/bin/other": "=> usr/bin/dash"})
	archive := targettest.Build(t, Target{}, root, nil)["node-amd64-x.tar.zst"]
	names := targettest.Names(t, archive)
	for name, want := range map[string]bool{
		"metadata.yaml": true, "templates/hostname.tpl": true, "templates/hosts.tpl": true, "rootfs/": true, "rootfs/etc/machine-id": true,
		"rootfs/usr/bin/other": true, "rootfs/dev/": true, "rootfs/dev/null": false, "rootfs/boot/vmlinuz-6": false,
	} {
		if slices.Contains(names, name) != want {
			t.Errorf("%s in the image: %v", name, !want)
		}
	}
	for _, n := range names {
		if top, _, _ := strings.Cut(n, "/"); top != "metadata.yaml" && top != "templates" && top != "rootfs" {
			t.Errorf("%s does not belong into an image", n)
		}
	}
	var m imageMetadata
	if err := json.Unmarshal([]byte(targettest.Content(t, archive, "metadata.yaml")), &m); err != nil {
		t.Fatal(err)
	}
	if m.Architecture != "x86_64" || m.CreationDate != targettest.Epoch.Unix() || m.Properties["release"] != "trixie" {
		t.Errorf("metadata %+v", m)
	}
	for path, tpl := range m.Templates {
		if !slices.Contains(names, "templates/"+tpl.Template) {
			t.Errorf("%s has no template %s", path, tpl.Template)
		}
	}
}

// TestHostsStay holds that what a recipe says of other hosts is not lost.
func TestHostsStay(t *testing.T) {
	targettest.Need(t, "zstd", "zstd")
	root := targettest.Debian(map[string]string{"etc/hosts": "127.0.0.1 localhost\n192.0.2.1 db\n"})
	archive := targettest.Build(t, Target{}, root, nil)["node-amd64-x.tar.zst"]
	if slices.Contains(targettest.Names(t, archive), "templates/hosts.tpl") {
		t.Error("a template in place of the hosts")
	}
}

func sum(t *testing.T, files ...string) string {
	t.Helper()
	h := sha256.New()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestStreams follows the indexes as a client does.
func TestStreams(t *testing.T) {
	targettest.Need(t, "unsquashfs", "squashfs-tools")
	out := targettest.Build(t, Target{}, targettest.Debian(nil), Options{Formats: []string{Split, SimpleStreams}, Description: "d"})
	if len(out) != 3 {
		t.Errorf("artefacts %v", out)
	}
	if text := targettest.Run(t, "unsquashfs", "-lls", out["node-amd64-x-rootfs.squashfs"]); !strings.Contains(text, "squashfs-root/usr/bin/sh -> dash") {
		t.Errorf("the squashfs has\n%s", text)
	}
	web := t.TempDir()
	targettest.Run(t, "tar", "-C", web, "-xf", out["node-amd64-x-simplestreams.tar"])
	read := func(name string, v any) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(web, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	var index streamsIndex
	read("streams/v1/index.json", &index)
	var list products
	read(index.Index["images"].Path, &list)
	for _, name := range index.Index["images"].Products {
		p, ok := list.Products[name]
		if !ok || p.Aliases != "node" || p.Architecture != "amd64" {
			t.Fatalf("product %s is %+v", name, p)
		}
		for serial, v := range p.Versions {
			if len(serial) < 8 || len(v.Items) != 3 {
				t.Errorf("version %s with %v", serial, v.Items)
			}
			root := filepath.Join(web, v.Items["root.squashfs"].Path)
			for kind, i := range v.Items {
				file := filepath.Join(web, i.Path)
				if sum(t, file) != i.SHA256 {
					t.Errorf("%s has another hash", i.Path)
				}
				if kind != "root.squashfs" && i.Combined != sum(t, file, root) {
					t.Errorf("%s has another fingerprint", kind)
				}
			}
		}
	}
	// Without the pair there is the folder alone.
	if out := targettest.Build(t, Target{}, targettest.Debian(nil), Options{Formats: []string{SimpleStreams}}); len(out) != 1 {
		t.Errorf("artefacts %v", out)
	}
}

func TestMistakes(t *testing.T) {
	targettest.Refused(t, Target{}, targettest.Debian(nil), Options{Formats: []string{"vm"}}, "vm")
	targettest.Refused(t, Target{}, targettest.Debian(nil), Options{Compress: "lzma"}, "lzma")
	targettest.Cancelled(t, Target{}, targettest.Debian(nil), Options{Formats: []string{Split, SimpleStreams, Unified}})
}

func TestFullDisk(t *testing.T) {
	targettest.Full(t, Target{}, targettest.Debian(nil), Options{Formats: []string{Split, SimpleStreams}})
}
