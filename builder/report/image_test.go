package report

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloudy/builder/disk/iso9660"
	"cloudy/builder/disk/squashfs"
	"cloudy/builder/tree"
)

// tool runs a program of the host, or skips the test where it is missing.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		if os.Getenv("CLOUDY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func inspect(t *testing.T, path string) *Opened {
	t.Helper()
	o, err := Open(context.Background(), path, OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// writeRoot writes sampleRoot into a folder of the host.
func writeRoot(t *testing.T, dir string) {
	t.Helper()
	for _, e := range sampleRoot().Entries {
		name := filepath.Join(dir, e.Path)
		var err error
		switch e.Type {
		case tree.Dir:
			err = os.MkdirAll(name, 0o755)
		case tree.File:
			err = os.WriteFile(name, e.Data, 0o644)
		case tree.Symlink:
			err = os.Symlink(e.Link, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "usr/bin/bash"), filepath.Join(dir, "usr/bin/bash-static")); err != nil {
		t.Fatal(err)
	}
}

// isSample fails when a root is not that of sampleRoot.
func isSample(t *testing.T, o *Opened) {
	t.Helper()
	root, err := o.Root()
	if err != nil {
		t.Fatal(err)
	}
	d, err := DiffRoots(context.Background(), sampleRoot(), root, DiffOptions{Ignore: []string{"lost+found"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range d.Changed { // tests do not always run as root
		if len(c.What) == 1 && c.What[0] == "owner" {
			d.Changed[i].What = nil
		}
	}
	for _, c := range d.Changed {
		if len(c.What) > 0 {
			t.Errorf("%s differs in %v", c.Path, c.What)
		}
	}
	if len(d.Added)+len(d.Removed) > 0 || !d.Packages.Empty() {
		t.Errorf("%+v", d)
	}
}

// disk makes an image of a GPT disk with a FAT and an ext4 filesystem, by the
// usual tools.
func disk(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	root, ext, fat := filepath.Join(dir, "root"), filepath.Join(dir, "ext"), filepath.Join(dir, "fat")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	writeRoot(t, root)
	tool(t, "mkfs.ext4", "-q", "-L", "cloud root", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-d", root, ext, "8M")
	tool(t, "mkfs.vfat", "-C", "-F", "16", "-s", "1", "-n", "ESP", "-i", "cafe1234", fat, "8192")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 20<<20); err != nil {
		t.Fatal(err)
	}
	tool(t, "sgdisk", "-o", "-U", "11111111-2222-3333-4444-555555555555", "-n", "1:2048:+8M", "-t", "1:ef00", "-c", "1:esp",
		"-n", "3:0:+8M", "-t", "3:8304", "-c", "3:root", name)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for file, at := range map[string]int64{fat: 1 << 20, ext: 9 << 20} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(content, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInspectDisks(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	disk(t, raw)
	qcow := filepath.Join(dir, "disk.qcow2")
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, qcow)
	zst := raw + ".zst"
	tool(t, "zstd", "-q", raw, "-o", zst)
	xzName := raw + ".xz"
	tool(t, "xz", "-k", "-0", raw)

	for _, tt := range []struct {
		path, format, compression string
	}{{raw, "disk", ""}, {qcow, "qcow2", ""}, {zst, "disk", "zstd"}, {xzName, "disk", "xz"}} {
		t.Run(filepath.Base(tt.path), func(t *testing.T) {
			o := inspect(t, tt.path)
			if o.Format != tt.format || strings.Join(o.Compression, " ") != tt.compression || o.DiskSize != 20<<20 {
				t.Errorf("%+v", o.Image)
			}
			if o.Table == nil || o.Table.Kind != "gpt" || !strings.EqualFold(o.Table.ID, "11111111-2222-3333-4444-555555555555") || len(o.Table.Partitions) != 2 {
				t.Fatalf("table %+v", o.Table)
			}
			esp, root := o.Table.Partitions[0], o.Table.Partitions[1]
			if esp.Number != 1 || esp.Type != "EFI system" || esp.Name != "esp" || esp.Start != 1<<20 || esp.Size != 8<<20 {
				t.Errorf("%+v", esp)
			}
			if fs := esp.Filesystem; fs == nil || fs.Type != "vfat" || fs.Label != "ESP" || fs.UUID != "CAFE-1234" || fs.Problem != "" {
				t.Errorf("%+v", fs)
			}
			if root.Number != 3 || root.Type != "Linux root (x86-64)" {
				t.Errorf("%+v", root)
			}
			fs := root.Filesystem
			if fs == nil || fs.Type != "ext4" || fs.Label != "cloud root" || fs.UUID != "01234567-89ab-cdef-0123-456789abcdef" || fs.Size != 8<<20 || fs.Used <= 0 || fs.Used >= fs.Size {
				t.Fatalf("%+v", fs)
			}
			if fs.Contents == nil || fs.Contents.Packages != 3 || fs.Contents.Release.Codename != "trixie" {
				t.Errorf("%+v, %s", fs.Contents, fs.Problem)
			}
			isSample(t, o)
		})
	}

	o := inspect(t, qcow)
	o.Path, o.Size = "disk.qcow2", 100000 // what depends on the tools' versions
	o.Table.Partitions[1].Filesystem.Used = 2 << 20
	o.Table.Partitions[1].Filesystem.Contents.Files = 50
	var b bytes.Buffer
	if err := WriteImage(&b, &o.Image); err != nil {
		t.Fatal(err)
	}
	golden(t, "inspect.txt", b.Bytes())
}

func TestInspectTarsAndFolders(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	writeRoot(t, root)
	o := inspect(t, root)
	if o.Format != "folder" || o.Contents.Packages != 3 {
		t.Errorf("%+v", o.Image)
	}
	isSample(t, o)

	archive := written(t, func(b *bytes.Buffer) error { return sampleRoot().WriteTar(context.Background(), b, tree.TarOptions{}) })
	plain := filepath.Join(dir, "root.tar")
	packed := filepath.Join(dir, "named-wrongly.img")
	for name, content := range map[string][]byte{plain: archive, packed: gzipped(t, archive)} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		o := inspect(t, name)
		if o.Format != "tar" || o.Contents.Packages != 3 {
			t.Errorf("%+v", o.Image)
		}
		isSample(t, o)
	}

	incus := written(t, func(b *bytes.Buffer) error {
		w := tar.NewWriter(b)
		if err := w.WriteHeader(&tar.Header{Name: "metadata.yaml", Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		return errors.Join(w.Flush(), sampleRoot().WriteTar(context.Background(), b, tree.TarOptions{Prefix: "rootfs/"}))
	})
	name := filepath.Join(dir, "incus.tar")
	if err := os.WriteFile(name, incus, 0o644); err != nil {
		t.Fatal(err)
	}
	o = inspect(t, name)
	if o.Format != "incus image" {
		t.Errorf("%+v", o.Image)
	}
	isSample(t, o)
}

func gzipped(t *testing.T, content []byte) []byte {
	return written(t, func(b *bytes.Buffer) error {
		z := gzip.NewWriter(b)
		_, err := z.Write(content)
		return errors.Join(err, z.Close())
	})
}

// layer is a tar archive of an OCI layer; see rootWith.
func layer(t *testing.T, files map[string]string) []byte {
	return written(t, func(b *bytes.Buffer) error {
		return rootWith(files).WriteTar(context.Background(), b, tree.TarOptions{})
	})
}

func TestInspectOCI(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(content []byte) map[string]any {
		t.Helper()
		digest := fmt.Sprintf("%x", sha256.Sum256(content))
		write("blobs/sha256/"+digest, content)
		return map[string]any{"digest": "sha256:" + digest, "size": len(content), "mediaType": "x"}
	}
	object := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	layers := []any{
		blob(gzipped(t, layer(t, map[string]string{"keep": "1", "gone": "2", "dir/a": "3", "dir/b": "4", "was/dir": "5", "file": "first", "link": "=> file"}))),
		blob(layer(t, map[string]string{".wh.gone": "", "dir/.wh..wh..opq": "", "dir/c": "6", "was": "-> keep", "file": "second"})),
	}
	manifest := func(arch string, layers []any) map[string]any {
		d := blob(object(map[string]any{"config": blob(object(map[string]any{"os": "linux", "architecture": arch})), "layers": layers}))
		d["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
		return d
	}
	inner := blob(object(map[string]any{"manifests": []any{manifest("arm64", nil), manifest("amd64", layers)}}))
	inner["mediaType"] = "application/vnd.oci.image.index.v1+json"
	write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	write("index.json", object(map[string]any{"manifests": []any{inner}}))

	o, err := Open(context.Background(), dir, OpenOptions{Arch: "amd64", TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.Format != "oci" || len(o.Platforms) != 2 || o.Platforms[0].Name != "linux/arm64" || o.Platforms[1].Layers != 2 || o.Platforms[1].Contents == nil {
		t.Fatalf("%+v", o.Image)
	}
	root, err := o.Root()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range root.Entries {
		e := &root.Entries[i]
		content := e.Link
		if e.Type == tree.File {
			b, err := root.read(e)
			if err != nil {
				t.Fatal(err)
			}
			content = string(b)
		}
		got = append(got, fmt.Sprintf("%s %c %s", e.Path, e.Type, content))
	}
	want := []string{". d ", "dir d ", "dir/c f 6", "file f second", "keep f 1", "link f first", "was l keep"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// newc writes a cpio archive.
func newc(files [][2]string) []byte {
	var b bytes.Buffer
	add := func(name, content string, mode int) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		b.Write(make([]byte, -b.Len()&3))
		b.WriteString(content)
		b.Write(make([]byte, -b.Len()&3))
	}
	for _, f := range files {
		add(f[0], f[1], 0o100644)
	}
	add("TRAILER!!!", "", 0)
	return b.Bytes()
}

func TestInspectInitrd(t *testing.T) {
	early := newc([][2]string{{"kernel/x86/microcode/GenuineIntel.bin", "microcode"}})
	early = append(early, make([]byte, 512-len(early)%512)...)
	main := newc([][2]string{{"etc/os-release", "ID=debian\nPRETTY_NAME=\"Debian\"\n"}, {"init", "#!/bin/sh\n"}})
	name := filepath.Join(t.TempDir(), "initrd.img")
	if err := os.WriteFile(name, append(early, gzipped(t, main)...), 0o644); err != nil {
		t.Fatal(err)
	}
	o := inspect(t, name)
	if o.Format != "cpio" || strings.Join(o.Compression, " ") != "gzip" || o.Contents.Files != 4 || o.Contents.Release.Pretty != "Debian" {
		t.Errorf("%+v, %+v", o.Image, o.Contents)
	}
}

func TestInspectOthers(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, size int64, parts map[int64]string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for at, text := range parts {
			if _, err := f.WriteAt([]byte(text), at); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		path, format, fs string
	}{
		{file("squash", 1<<20, map[int64]string{0: "hsqs"}), "filesystem", "squashfs"},
		{file("iso", 1<<20, map[int64]string{32769: "CD001", 32768 + 40: "MY DISC   "}), "iso9660", "iso9660"},
		{file("swap", 1<<20, map[int64]string{4086: "SWAPSPACE2"}), "filesystem", "swap"},
		{file("luks", 1<<20, map[int64]string{0: "LUKS\xba\xbe"}), "filesystem", "crypto_LUKS"},
		{file("vmdk", 1<<20, map[int64]string{0: "KDMV"}), "vmdk", ""},
		{file("vhdx", 1<<20, map[int64]string{0: "vhdxfile"}), "vhdx", ""},
		{file("vhd", 1<<20, map[int64]string{1<<20 - 512: "conectix"}), "vhd", ""},
		{file("random", 5000, map[int64]string{7: "nothing known"}), "unknown", ""},
		{file("short", 100, nil), "unknown", ""},
		{file("empty", 0, nil), "unknown", ""},
	} {
		o := inspect(t, tt.path)
		fs := ""
		if o.Filesystem != nil {
			fs = o.Filesystem.Type
		}
		if o.Format != tt.format || fs != tt.fs {
			t.Errorf("%s: format %q, filesystem %q", tt.path, o.Format, fs)
		}
		if _, err := o.Root(); !errors.Is(err, ErrNoRoot) {
			t.Errorf("%s: root error %v", tt.path, err)
		}
	}
	mbr := file("mbr", 4<<20, map[int64]string{510: "\x55\xaa", 440: "\x78\x56\x34\x12",
		446: "\x80\x00\x00\x00\x0c\x00\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00", 462: "\x00\x00\x00\x00\x83\x00\x00\x00\x00\x10\x00\x00\x00\x08\x00\x00"})
	if o := inspect(t, mbr); o.Table == nil || o.Table.Kind != "mbr" || o.Table.ID != "12345678" || len(o.Table.Partitions) != 2 || o.Table.Partitions[1].Type != "Linux" {
		t.Errorf("%+v", o.Table)
	}
	gpt := file("gpt", 4<<20, map[int64]string{512: "EFI PART and then rubbish"})
	if o := inspect(t, gpt); o.Table == nil || o.Table.Problem == "" {
		t.Errorf("a broken table: %+v", o.Table)
	}
	for name, content := range map[string][]byte{"cut.gz": gzipped(t, make([]byte, 100000))[:60], "cut.tar": layer(t, map[string]string{"a": strings.Repeat("x", 2000)})[:2000], "cut.cpio": newc([][2]string{{"a", "b"}})[:130]} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		temp := t.TempDir()
		if o, err := Open(context.Background(), path, OpenOptions{TempDir: temp}); err == nil {
			t.Errorf("%s passed as %+v", name, o.Image)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("%s left %s behind", name, left[0].Name())
		}
	}
}

func FuzzProbe(f *testing.F) {
	f.Add(make([]byte, 70000), uint16(56))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		block := make([]byte, 70000)
		copy(block[min(int(at), len(block)):], b)
		r := bytes.NewReader(block)
		probe(r, int64(len(block)))
		if _, err := readTable(r, int64(len(block))); err != nil {
			t.Error(err)
		}
		probe(bytes.NewReader(b), int64(len(b)))
	})
}

func FuzzCPIO(f *testing.F) {
	f.Add(newc([][2]string{{"etc/os-release", "x"}, {"b", "c"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := &Opened{}
		_ = o.openCPIO(context.Background(), bytes.NewReader(b))
	})
}

// TestInspectLive reads the root on a CD.
func TestInspectLive(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "live.iso"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root := sampleRoot()
	medium := &tree.Tree{Entries: []tree.Entry{{Path: ".", Type: tree.Dir, Mode: 0o755}, {Path: "live", Type: tree.Dir, Mode: 0o755}}}
	im, err := iso9660.Write(f, medium, iso9660.Options{Volume: "LIVE", Placed: []iso9660.Placed{{Path: "live/root.squashfs", Write: func(at int64) (int64, error) {
		return squashfs.Write(t.Context(), f, at, root.Tree, squashfs.Options{})
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(im.Size); err != nil {
		t.Fatal(err)
	}
	o := inspect(t, f.Name())
	if fs := o.Filesystem; o.Format != "iso9660" || fs == nil || fs.Contents == nil || fs.Contents.Files != 2 || len(fs.Inside) != 1 || fs.Inside[0].Path != "live/root.squashfs" || fs.Inside[0].Filesystem.Contents.Packages == 0 {
		t.Fatalf("%+v, %+v", o.Image, o.Filesystem)
	}
	got, err := o.Root()
	if err != nil {
		t.Fatal(err)
	}
	d, err := DiffRoots(t.Context(), root, got, DiffOptions{})
	if err != nil || !d.Empty() {
		t.Errorf("%v, %+v", err, d)
	}
	var text bytes.Buffer
	if err := WriteImage(&text, &o.Image); err != nil || !strings.Contains(text.String(), "\n  live/root.squashfs\n    squashfs, ") {
		t.Errorf("%v\n%s", err, text.String())
	}
}
