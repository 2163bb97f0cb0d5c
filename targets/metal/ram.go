package metal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"cloudy/builder/tree"
	"cloudy/builder/xz"
	"cloudy/targets/metal/live"
)

// bootScript is what initramfs-tools sources for boot=cloudy: it defines how
// the root is mounted.
const bootScript = `# Sourced by /init for boot=cloudy: the system comes from a live medium.
mount_top() { :; }
mount_premount() { :; }
mount_bottom() { :; }
mountroot() {
	/` + live.Program + ` "${rootmnt}" || panic "The live system does not start."
}
`

// modules are what starting from a medium takes, as far as the kernel has them
// as modules: an initial RAM disk made for a disk's root may lack them.
// Drivers of controllers come by udev, from the initial RAM disk itself.
var modules = []string{"loop", "squashfs", "overlay", "cdrom", "sr_mod", "sd_mod", "usb-storage", "uas"}

// ramDisk is the archive (cpio, "newc" as in the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst) that GRUB loads
// behind the root's own initial RAM disk: the program, what it is told, the
// modules and the script.
func ramDisk(root *tree.Tree, version string, program []byte, c live.Config) ([]byte, error) {
	config, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	var a cpio
	a.dir(live.Folder)
	a.file(live.Program, 0o755, program)
	a.file(live.ConfigFile, 0o644, config)
	a.dir(live.Modules)
	list, err := modulesOf(root, version)
	if err != nil {
		return nil, err
	}
	for i, p := range list {
		data, err := unpackModule(root.Find(p))
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", p, err)
		}
		name, _, _ := strings.Cut(path.Base(p), ".ko")
		a.file(fmt.Sprintf("%s/%02d-%s.ko", live.Modules, i, name), 0o644, data)
	}
	a.dir("scripts")
	a.file("scripts/cloudy", 0o644, []byte(bootScript))
	return a.close(), nil
}

// modulesOf lists the modules' files, each behind what it depends on.
func modulesOf(root *tree.Tree, version string) ([]string, error) {
	dir := "usr/lib/modules/" + version
	e := root.Find(dir + "/modules.dep")
	if e == nil || e.Type != tree.File {
		return nil, nil // a kernel without modules
	}
	text, err := e.Read()
	if err != nil {
		return nil, err
	}
	deps, byName := map[string][]string{}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		file, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		deps[file] = strings.Fields(rest)
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		byName[strings.ReplaceAll(name, "_", "-")] = file
	}
	var out []string
	var add func(file string)
	add = func(file string) {
		p := dir + "/" + file
		if slices.Contains(out, p) || root.Find(p) == nil {
			return
		}
		// depmod lists the nearest first.
		for _, d := range slices.Backward(deps[file]) {
			add(d)
		}
		out = append(out, p)
	}
	for _, m := range modules {
		if file, ok := byName[strings.ReplaceAll(m, "_", "-")]; ok {
			add(file)
		}
	}
	return out, nil
}

// unpackModule returns a module as the kernel loads it; the signature is
// within.
func unpackModule(e *tree.Entry) ([]byte, error) {
	data, err := e.Read()
	if err != nil {
		return nil, err
	}
	switch path.Ext(e.Path) {
	case ".xz":
		r, err := xz.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case ".zst":
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return r.DecodeAll(data, nil)
	}
	return data, nil
}

// cpio is an archive that is being written. Everything in it belongs to root
// and is of 1970: the initial RAM disk shows it to nobody.
type cpio struct {
	b   bytes.Buffer
	ino int
}

func (c *cpio) entry(name string, mode uint32, data []byte) {
	c.ino++
	if name == cpioEnd {
		c.ino = 0
	}
	fmt.Fprintf(&c.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	c.b.WriteString(name + "\x00")
	c.pad()
	c.b.Write(data)
	c.pad()
}

func (c *cpio) pad() { c.b.Write(make([]byte, -c.b.Len()&3)) }

func (c *cpio) dir(name string)                            { c.entry(name, 0o040755, nil) }
func (c *cpio) file(name string, mode uint32, data []byte) { c.entry(name, 0o100000|mode, data) }

const cpioEnd = "TRAILER!!!"

func (c *cpio) close() []byte {
	c.entry(cpioEnd, 0, nil)
	return c.b.Bytes()
}
